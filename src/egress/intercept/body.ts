/** Bodies of requests and answers, piece by piece: taken out of their compression, searched, put back. */
import { PassThrough, type Transform } from "node:stream";
import * as zlib from "node:zlib";
import { Refused } from "./refused.ts";
import { Replacer, type Rule } from "./replacer.ts";

export type Body = AsyncIterable<Uint8Array>;

/** A body that unpacks to more than this many times its size, past the first megabyte, is an attack. */
const EXPANSION_MAX = 2000;
const EXPANSION_FREE_BYTES = 1024 * 1024;
/** "gzip, br" and so on: nobody sends more. */
const ENCODINGS_MAX = 3;

interface Coding {
  decode: () => Transform;
  encode: () => Transform;
}

const CODINGS: Record<string, Coding> = {
  gzip: { decode: zlib.createGunzip, encode: zlib.createGzip },
  "x-gzip": { decode: zlib.createGunzip, encode: zlib.createGzip },
  deflate: { decode: zlib.createInflate, encode: zlib.createDeflate },
  br: { decode: zlib.createBrotliDecompress, encode: zlib.createBrotliCompress },
  zstd: { decode: zlib.createZstdDecompress, encode: zlib.createZstdCompress },
};

/** Of Content-Encoding, the outermost first; none for a body that is sent as it is. */
export function codingsOf(header: string | undefined): Coding[] {
  const names = (header ?? "")
    .toLowerCase()
    .split(",")
    .map((name) => name.trim());
  const used = names.filter((name) => name !== "" && name !== "identity");
  if (used.length > ENCODINGS_MAX) throw new Refused("too many content encodings", { status: 415 });
  return used.reverse().map((name) => {
    const coding = Object.hasOwn(CODINGS, name) ? CODINGS[name] : undefined;
    if (coding) return coding;
    throw new Refused(`a body in content encoding "${name}" cannot be searched`, { status: 415 });
  });
}

/** Yields what may be passed on. */
export async function* searched(body: Body, rules: readonly Rule[]): AsyncGenerator<Buffer> {
  const replacer = new Replacer(rules);
  for await (const chunk of body) {
    const out = replacer.push(chunk);
    if (out.length > 0) yield out;
  }
  const last = replacer.end();
  if (last.length > 0) yield last;
}

export async function* decoded(body: Body, codings: readonly Coding[]): AsyncGenerator<Uint8Array> {
  let inner = body;
  for (const { decode } of codings) inner = through(inner, decode(), EXPANSION_MAX);
  yield* inner;
}

export async function* encoded(body: Body, codings: readonly Coding[]): AsyncGenerator<Uint8Array> {
  let outer = body;
  for (const { encode } of codings.toReversed()) outer = through(outer, encode());
  yield* outer;
}

/** All of it where it is not longer than `max_bytes`; else what is there, and the rest. */
export async function collected(
  body: Body,
  max_bytes: number,
): Promise<{ all: Buffer } | { rest: Body }> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  const more = body[Symbol.asyncIterator]();
  for (let next = await more.next(); !next.done; next = await more.next()) {
    chunks.push(next.value);
    length += next.value.length;
    if (length > max_bytes) return { rest: joined(chunks, more) };
  }
  return { all: Buffer.concat(chunks) };
}

async function* joined(first: Uint8Array[], more: AsyncIterator<Uint8Array>): Body {
  yield* first;
  for (let next = await more.next(); !next.done; next = await more.next()) yield next.value;
}

async function* through(body: Body, coder: Transform, expansion_max?: number): Body {
  let taken = 0;
  let given = 0;
  const out = new PassThrough();
  const feed = (async () => {
    for await (const chunk of body) {
      taken += chunk.length;
      if (coder.destroyed) return;
      if (!coder.write(chunk))
        await new Promise((resolve) => coder.once("drain", resolve).once("close", resolve));
    }
    coder.end();
  })();
  feed.catch((error) => coder.destroy(error));
  coder.on("error", (error) => out.destroy(error));
  coder.pipe(out);
  try {
    for await (const chunk of out) {
      given += chunk.length;
      const isBomb =
        expansion_max !== undefined &&
        given > EXPANSION_FREE_BYTES &&
        given > taken * expansion_max;
      if (isBomb) throw new Refused("the compressed body is out of proportion", { status: 413 });
      yield chunk;
    }
    await feed;
  } catch (error) {
    // What the source of the body threw is the reason, not its echo.
    throw error instanceof Refused
      ? error
      : new Refused(`damaged body: ${messageOf(error)}`, { status: 400 });
  } finally {
    coder.destroy();
    out.destroy();
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
