/**
 * Heads of HTTP/1.1 messages, and how long their bodies are. Anything that two parsers could read in two ways is
 * refused: the next request of the connection would begin elsewhere for the server than it does here.
 */
import type { Headers } from "#egress/intercept/exchange.ts";
import { Refused } from "#egress/intercept/refused.ts";
import type { ByteReader } from "./reader.ts";

export const HEAD_MAX_BYTES = 64 * 1024;
const HEADERS_MAX = 200;
const CHUNK_LINE_MAX_BYTES = 4096;
const TRAILERS_MAX = 64;

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
const TARGET = /^[\x21-\x7e]+$/;

export interface RequestHead {
  method: string;
  target: string;
  /** HTTP/1.0: no chunks, and the connection ends with the answer. */
  isOld: boolean;
  headers: Headers;
}

export interface ResponseHead {
  status: number;
  reason: string;
  isOld: boolean;
  headers: Headers;
}

/** How a body ends: after so many bytes, with its last chunk, or with the connection. */
export type Framing = { kind: "length"; length: number } | { kind: "chunked" } | { kind: "close" };

export function parseRequest(head: string): RequestHead {
  const [line = "", ...lines] = head.slice(0, -4).split("\r\n");
  const [, method, target, minor] = /^(\S+) (\S+) HTTP\/1\.([01])$/.exec(line) ?? [];
  if (!method || !target || !TOKEN.test(method) || !TARGET.test(target)) {
    throw new Refused("the request line is not of HTTP/1.1", { status: 400 });
  }
  return { method, target, isOld: minor === "0", headers: parseHeaders(lines, 400) };
}

export function parseResponse(head: string): ResponseHead {
  const [line = "", ...lines] = head.slice(0, -4).split("\r\n");
  const [, minor, status, reason] = /^HTTP\/1\.([01]) ([1-9]\d\d)(?: (.*))?$/.exec(line) ?? [];
  if (!status || !VALUE.test(reason ?? "")) {
    throw new Refused("the answer of the server is not of HTTP/1.1", { status: 502 });
  }
  const headers = parseHeaders(lines, 502);
  return { status: Number(status), reason: reason ?? "", isOld: minor === "0", headers };
}

function parseHeaders(lines: readonly string[], status: number): Headers {
  if (lines.length > HEADERS_MAX) throw new Refused("too many headers", { status: 431 });
  return lines.map((line) => {
    const at = line.indexOf(":");
    const name = line.slice(0, Math.max(0, at)).toLowerCase();
    const value = line.slice(at + 1).replaceAll(/^[ \t]+|[ \t]+$/g, "");
    if (at < 1 || !TOKEN.test(name) || !VALUE.test(value))
      throw new Refused("invalid header", { status });
    return [name, value];
  });
}

export function valuesOf(headers: Headers, name: string): string[] {
  return headers.flatMap(([each, value]) => (each === name ? [value] : []));
}

/** The items of a header that is a list. */
export function listOf(headers: Headers, name: string): string[] {
  return valuesOf(headers, name).flatMap((value) =>
    value
      .toLowerCase()
      .split(",")
      .map((item) => item.trim())
      .filter((item) => item !== ""),
  );
}

export function hostOf({ headers }: RequestHead): string {
  const [host, ...others] = valuesOf(headers, "host");
  if (host && others.length === 0) return host;
  throw new Refused("the request must have one Host", { status: 400 });
}

export function requestFraming({ headers }: RequestHead): Framing {
  return framingOf(headers, 400) ?? { kind: "length", length: 0 };
}

export function responseFraming({ status, headers }: ResponseHead, method: string): Framing {
  if (method === "HEAD" || status === 204 || status === 304) return { kind: "length", length: 0 };
  return framingOf(headers, 502) ?? { kind: "close" };
}

function framingOf(headers: Headers, status: number): Framing | undefined {
  const lengths = valuesOf(headers, "content-length");
  const [length] = lengths;
  const codings = valuesOf(headers, "transfer-encoding");
  if (codings.length > 0) {
    const isPlain = codings.length === 1 && codings[0]?.toLowerCase() === "chunked";
    if (isPlain && length === undefined) return { kind: "chunked" };
    throw new Refused("the length of the body is not clear", { status });
  }
  if (length === undefined) return undefined;
  if (!/^\d{1,15}$/.test(length) || lengths.length > 1) {
    throw new Refused("the length of the body is not clear", { status });
  }
  return { kind: "length", length: Number(length) };
}

export async function* bodyOf(reader: ByteReader, framing: Framing): AsyncGenerator<Uint8Array> {
  if (framing.kind === "length") yield* reader.exactly(framing.length);
  else if (framing.kind === "close") yield* reader.rest();
  else yield* chunksOf(reader);
}

/** Extensions of chunks and trailers are left out. */
async function* chunksOf(reader: ByteReader): AsyncGenerator<Uint8Array> {
  for (;;) {
    const line = await reader.line(CHUNK_LINE_MAX_BYTES);
    const size = /^([0-9a-fA-F]{1,12})[ \t]*(?:;.*)?$/.exec(line ?? "")?.[1];
    if (size === undefined) throw new Refused("invalid chunk in the body", { status: 400 });
    const length = Number.parseInt(size, 16);
    if (length === 0) break;
    yield* reader.exactly(length);
    if ((await reader.line(2)) !== "")
      throw new Refused("invalid chunk in the body", { status: 400 });
  }
  for (let count = 0; count <= TRAILERS_MAX; count++) {
    if (!(await reader.line(CHUNK_LINE_MAX_BYTES))) return;
  }
  throw new Refused("too many trailers", { status: 400 });
}

export function formatHead(first: string, headers: Headers): Buffer {
  const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.from(`${first}\r\n${lines.join("")}\r\n`, "latin1");
}

export async function* asChunks(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const piece of body) {
    if (piece.length === 0) continue;
    yield Buffer.concat([
      Buffer.from(`${piece.length.toString(16)}\r\n`),
      piece,
      Buffer.from("\r\n"),
    ]);
  }
  yield Buffer.from("0\r\n\r\n");
}
