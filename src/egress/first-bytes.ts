/** What a connection carries, by the first bytes that the machine sends. */
import { looksLikeTls, parseClientHello } from "./client-hello.ts";

/** Longer than any first line that a server takes. */
const MAX_LINE_BYTES = 16 * 1024;
/** Of empty lines before the first. */
const MAX_BLANK_BYTES = 256;

export type FirstBytes =
  /** More bytes are needed: so many in all, if that is known. */
  | { kind: "partial"; wanted_bytes?: number }
  /** `name`: SNI; absent if there is none, or if it says nothing, for the `reason`. */
  | { kind: "tls"; name?: string; reason?: string }
  | { kind: "http" }
  | { kind: "other" }
  | { kind: "refused"; reason: string };

/** `classify` for bytes that come one after the other: looks at them again only where more of them say more. */
export class Classifier {
  #last: FirstBytes = { kind: "partial" };
  #seen_bytes = 0;

  /** All that there will be. */
  end(bytes: Buffer): FirstBytes {
    if (this.#last.kind === "partial") this.#last = classify(bytes);
    return this.#last;
  }

  /** All that have come. Whether it is known what they are. */
  isKnown(bytes: Buffer): boolean {
    const added = bytes.subarray(this.#seen_bytes);
    const isFirst = this.#seen_bytes === 0;
    this.#seen_bytes = bytes.length;
    if (this.#last.kind !== "partial") return true;
    const { wanted_bytes } = this.#last;
    const isMore =
      wanted_bytes === undefined
        ? isFirst || bytes.length >= MAX_LINE_BYTES || !isText(added)
        : bytes.length >= wanted_bytes;
    if (isMore) this.#last = classify(bytes);
    return this.#last.kind !== "partial";
  }
}

/** Whether a line goes on with it. */
function isText(bytes: Buffer): boolean {
  return bytes.every((byte) => byte >= 0x20 && byte < 0x7f);
}

export function classify(bytes: Buffer): FirstBytes {
  if (bytes.length === 0) return { kind: "partial" };
  if (looksLikeTls(bytes)) return classifyTls(bytes);
  // Servers skip empty lines, and some take a line that ends without a carriage return.
  const text = bytes
    .subarray(0, MAX_LINE_BYTES)
    .toString("latin1")
    .replace(/^[\r\n \t]+/, "");
  if (text === "") return bytes.length < MAX_BLANK_BYTES ? { kind: "partial" } : { kind: "other" };
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
