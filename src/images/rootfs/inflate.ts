/** Decompresses a layer, whatever its compression, and verifies its tar against the diffID. */
import { createHash } from "node:crypto";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { throwIfAborted } from "#base/abort.ts";
import { compressionOf } from "#base/compression.ts";
import { decompress, isCorruption } from "#base/decompress.ts";
import { shortDigest } from "#base/digest.ts";
import { BangerError } from "#base/error.ts";
import { KiB, MiB } from "#base/size.ts";
import type { Layer } from "#oci/layer.ts";
import type { Inflater } from "./inflate-process.ts";

/** Supported by Bun; missing from the Node types. */
declare module "node:zlib" {
  function createZstdDecompress(options?: ZlibOptions): Gunzip;
}

const CHUNK_BYTES = 512 * KiB;
/** Compressed bytes to buffer, so that the decompressor does not wait while more are read and hashed. */
const AHEAD_BYTES = 4 * MiB;

export interface InflateOptions {
  signal?: AbortSignal | undefined;
  /** Called with the number of compressed bytes read so far. */
  onRead?: (bytes: number) => void;
  /** Decompresses gzip in another process. Without one, the runtime does it in this process. */
  inflater?: () => Promise<Inflater | undefined>;
}

/**
 * The uncompressed tar. A chunk is valid until the next one is requested. Throws `integrity` when the compressed data
 * is corrupt, or does not match the diffID.
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
  const source = counted(layer.compressed(options.signal), options.onRead);
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
  else yield* decompressLayer(kind, rest, layer);
}

async function* counted(
  source: AsyncIterable<Uint8Array>,
  onRead: InflateOptions["onRead"],
): AsyncGenerator<Uint8Array, undefined> {
  let read = 0;
  for await (const chunk of source) {
    read += chunk.length;
    onRead?.(read);
    yield chunk;
  }
}

async function* decompressLayer(
  kind: "gzip" | "zstd",
  source: AsyncIterable<Uint8Array>,
  layer: Layer,
): AsyncGenerator<Uint8Array> {
  const options = { chunkSize: CHUNK_BYTES, writableHighWaterMark: AHEAD_BYTES };
  const stream = kind === "gzip" ? createGunzip(options) : createZstdDecompress(options);
  try {
    yield* decompress(stream, source);
  } catch (error) {
    if (!(error instanceof BangerError) || !isCorruption(error.cause)) throw error;
    if (/windowTooLarge/.test(error.cause.code)) throw windowTooLarge(layer, error);
    const text = `Cannot unpack layer ${shortDigest(layer.digest)}: ${error.message}`;
    throw new BangerError("integrity", text, { cause: error });
  }
}

/** A limit of the decompressor's memory; the data is not corrupt. */
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
