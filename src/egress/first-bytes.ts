/** What a connection carries, by the first bytes that the machine sends. */
import { looksLikeTls, parseClientHello } from "./client-hello.ts";

/** Longer than any first line that a server takes. */
const MAX_LINE_BYTES = 16 * 1024;

export type FirstBytes =
  /** More bytes are needed. */
  | { kind: "partial" }
  /** `name`: SNI; absent if there is none, or if it says nothing, for the `reason`. */
  | { kind: "tls"; name?: string; reason?: string }
  | { kind: "http" }
  | { kind: "other" }
  | { kind: "refused"; reason: string };

export function classify(bytes: Buffer): FirstBytes {
  if (bytes.length === 0) return { kind: "partial" };
  if (looksLikeTls(bytes)) return classifyTls(bytes);
  // Servers skip empty lines, and some take a line that ends without a carriage return.
  const text = bytes
    .subarray(0, MAX_LINE_BYTES)
    .toString("latin1")
    .replace(/^[\r\n \t]+/, "");
  if (text === "") return bytes.length < MAX_LINE_BYTES ? { kind: "partial" } : { kind: "other" };
  const [line = "", ...more] = text.split("\n");
  if (/^PRI \* HTTP\/2/.test(line)) {
    return { kind: "refused", reason: "HTTP/2 without TLS is not allowed" };
  }
  if (/[ \t]HTTP\/\d/i.test(line)) return { kind: "http" };
  // Only a request of HTTP begins with a word.
  const isWord = /^[!-~]+([ \t][\t -~]*)?\r?$/.test(line);
  if (isWord && more.length === 0 && bytes.length < MAX_LINE_BYTES) return { kind: "partial" };
  return { kind: "other" };
}

function classifyTls(bytes: Buffer): FirstBytes {
  const hello = parseClientHello(bytes);
  if (hello.kind === "partial") return hello;
  if (hello.kind === "invalid") return { kind: "refused", reason: hello.reason };
  if (hello.isNameHidden) {
    return { kind: "tls", reason: "encrypted ClientHello (ECH) hides the server name" };
  }
  if (hello.name === undefined) return { kind: "tls", reason: "TLS without a server name (SNI)" };
  return { kind: "tls", name: hello.name };
}
