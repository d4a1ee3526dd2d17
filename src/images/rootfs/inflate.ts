/** The tar inside a layer, decompressed by what its first bytes are and verified against its diffId. */
import { createHash } from "node:crypto";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { throwIfAborted } from "#base/abort.ts";
import { compressionOf } from "#base/compression.ts";
import { shortDigest } from "#base/digest.ts";
import { BangerError, messageOf } from "#base/error.ts";
import { KiB, MiB } from "#base/size.ts";
import type { Layer } from "#oci/layer.ts";
import type { Inflater } from "./inflate-process.ts";

/** In Bun, and not yet in the Node types that it is checked with. */
declare module "node:zlib" {
  function createZstdDecompress(options?: ZlibOptions): Gunzip;
}

const CHUNK_BYTES = 512 * KiB;
/** Compressed bytes that lie ready: without them the decompressor stands still while more are read and hashed. */
const AHEAD_BYTES = 4 * MiB;

export interface InflateOptions {
  signal?: AbortSignal | undefined;
  /** Called with how many compressed bytes were taken so far. */
  onTaken?: (bytes: number) => void;
  /** What decompresses gzip; where it gives nothing, the runtime does. */
  inflater?: () => Promise<Inflater | undefined>;
}

/**
 * Chunks that are valid until the next is asked for. Ends with `integrity` when the compressed stream is
 * damaged, or when the bytes given do not hash to `diffId`.
 */
export async function* inflate(
  layer: Layer,
  options: InflateOptions = {},
): AsyncGenerator<Uint8Array> {
  if (layer.isOwn) {
    yield* decompressed(layer, options);
    return;
  }
  const hash = createHash("sha256");
  for await (const chunk of decompressed(layer, options)) {
    throwIfAborted(options.signal);
    hash.update(chunk);
    yield chunk;
  }
  const actual = `sha256:${hash.digest("hex")}`;
  if (actual === layer.diffId) return;
  throw new BangerError(
    "integrity",
    `Cannot use layer ${shortDigest(layer.digest)}: digest mismatch with the image's config, got ${actual}`,
    { hint: "The image is corrupt or was tampered with: pull it again, or from another registry" },
  );
}

async function* decompressed(layer: Layer, options: InflateOptions): AsyncGenerator<Uint8Array> {
  const source = counted(layer.compressed(options.signal), options.onTaken);
  const { head, rest } = await peek(source);
  const kind = layerCompression(head);
  if (kind === "none") {
    yield* rest;
    return;
  }
  if (kind === "unsupported") {
    await source.return(undefined);
    throw new BangerError(
      "unsupported",
      `Cannot unpack layer ${shortDigest(layer.digest)}: unsupported compression (bzip2 or xz)`,
      { hint: "Push the image again with gzip or zstd layers" },
    );
  }
  const inflater = kind === "gzip" ? await options.inflater?.() : undefined;
  if (inflater) yield* inflater.inflate(rest, `layer ${shortDigest(layer.digest)}`);
  else yield* through(kind, rest, layer);
}

async function* counted(
  source: AsyncIterable<Uint8Array>,
  onTaken: InflateOptions["onTaken"],
): AsyncGenerator<Uint8Array, undefined> {
  let taken = 0;
  for await (const chunk of source) {
    taken += chunk.length;
    onTaken?.(taken);
    yield chunk;
  }
}

/** Feeds the decompressor from `source` while its output is read; ends it whatever happens. */
async function* through(
  kind: "gzip" | "zstd",
  source: AsyncIterable<Uint8Array>,
  layer: Layer,
): AsyncGenerator<Uint8Array> {
  const options = { chunkSize: CHUNK_BYTES, writableHighWaterMark: AHEAD_BYTES };
  const stream = kind === "gzip" ? createGunzip(options) : createZstdDecompress(options);
  let sourceFailure: unknown;
  const fed = feed(stream, source).catch((error: unknown) => {
    sourceFailure = error;
    stream.destroy(error instanceof Error ? error : new Error(messageOf(error)));
  });
  try {
    for await (const chunk of stream) yield chunk as Uint8Array;
    await fed;
  } catch (error) {
    if (sourceFailure !== undefined) throw sourceFailure;
    if (error instanceof BangerError || !isZlibError(error)) throw error;
    if (/windowTooLarge/.test(error.code)) throw windowTooLarge(layer, error);
    throw new BangerError(
      "integrity",
      `Cannot unpack layer ${shortDigest(layer.digest)}: corrupt compressed data: ${messageOf(error)}`,
      { cause: error },
    );
  } finally {
    stream.destroy();
    await fed;
  }
}

async function feed(
  stream: ReturnType<typeof createGunzip>,
  source: AsyncIterable<Uint8Array>,
): Promise<void> {
  for await (const chunk of source) {
    if (stream.destroyed) return;
    if (!stream.write(chunk)) await drained(stream);
  }
  stream.end();
}

/** Until the stream takes more, or never will. */
function drained(stream: ReturnType<typeof createGunzip>): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      stream.off("drain", done);
      stream.off("close", done);
      resolve();
    };
    stream.on("drain", done);
    stream.on("close", done);
    if (stream.destroyed) done();
  });
}

function isZlibError(error: unknown): error is Error & { code: string } {
  return error instanceof Error && "code" in error && /^(Z_|ZSTD_|ERR_)/.test(String(error.code));
}

/** The memory that the compressor asks for is a limit of ours, and no damage. */
function windowTooLarge(layer: Layer, cause: unknown): BangerError {
  return new BangerError(
    "limit_exceeded",
    `Cannot unpack layer ${shortDigest(layer.digest)}: its zstd window is larger than 128 MiB`,
    { hint: "Push the image again with layers compressed without --long and --ultra", cause },
  );
}

const HEAD_BYTES = 6;

async function peek(
  source: AsyncGenerator<Uint8Array, undefined>,
): Promise<{ head: Uint8Array; rest: AsyncIterable<Uint8Array> }> {
  let head: Uint8Array = new Uint8Array(0);
  while (head.length < HEAD_BYTES) {
    const next = await source.next();
    if (next.done) break;
    head = head.length === 0 ? next.value : Buffer.concat([head, next.value]);
  }
  async function* rest(): AsyncGenerator<Uint8Array> {
    if (head.length > 0) yield head;
    yield* source;
  }
  return { head, rest: rest() };
}

function layerCompression(head: Uint8Array): "gzip" | "zstd" | "none" | "unsupported" {
  const kind = compressionOf(head);
  if (kind === "gzip" || kind === "zstd") return kind;
  return kind === "xz" || kind === "bzip2" ? "unsupported" : "none";
}
