/** Response bodies: with a cap, decoded if a server encoded them unasked, or discarded. */
import {
  createBrotliDecompress,
  createGunzip,
  createInflate,
  createZstdDecompress,
  type Gunzip,
} from "node:zlib";
import { decompress } from "#base/decompress.ts";
import { BangerError } from "#base/error.ts";
import { MiB } from "#base/size.ts";

/** By the name in Content-Encoding. */
const decoders: Readonly<Record<string, () => Gunzip>> = {
  gzip: createGunzip,
  "x-gzip": createGunzip,
  deflate: createInflate,
  br: createBrotliDecompress,
  zstd: createZstdDecompress,
};

/** The bytes that the server meant. They are asked for as they are, and some proxies encode them all the same. */
export function decodedBody(response: Response): AsyncIterable<Uint8Array> {
  const decoder = decoderOf(response);
  const body: ReadableStream<Uint8Array> = response.body ?? new Blob([]).stream();
  return decoder ? decompress(decoder(), body) : body;
}

/** What is sent without its length and is no larger was encoded on its way: object stores say how long a blob is. */
const ENCODED_ON_THE_WAY_MAX_BYTES = 8 * MiB;

/**
 * The same for a blob, whose stored bytes some servers declare as encoded: only when it cannot be those, going by
 * its length.
 */
export function decodedBlob(
  response: Response,
  size: number,
): AsyncIterable<Uint8Array> | undefined {
  if (!decoderOf(response)) return undefined;
  const length = response.headers.get("content-length");
  const isStored = length === null ? size > ENCODED_ON_THE_WAY_MAX_BYTES : Number(length) === size;
  return isStored ? undefined : decodedBody(response);
}

function decoderOf(response: Response): (() => Gunzip) | undefined {
  return decoders[(response.headers.get("content-encoding") ?? "").trim().toLowerCase()];
}

/** The whole body, if it has no more than `max_bytes`; `limit_exceeded` if it has more. */
export async function readCapped(response: Response, max_bytes: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of decodedBody(response)) {
    size += chunk.length;
    if (size > max_bytes) {
      throw new BangerError("limit_exceeded", `response too large: more than ${max_bytes} bytes`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, size);
}

/** Discards a response body and its connection. */
export async function discard(response: Response): Promise<void> {
  try {
    await response.body?.cancel();
  } catch {
    // The connection is gone already, which is what was wanted.
  }
}
