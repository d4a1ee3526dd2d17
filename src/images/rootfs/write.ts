/** Writes the layers of an image to one ext4 file in one pass, without root and without unpacking them. */
import { closeSync, openSync, renameSync, rmSync } from "node:fs";
import { throwIfAborted } from "#base/abort.ts";
import { assert } from "#base/assert.ts";
import { type Digest, shortDigest } from "#base/digest.ts";
import { BangerError, toBangerError } from "#base/error.ts";
import { stagingPath } from "#base/files/atomic.ts";
import type { OnProgress } from "#base/progress.ts";
import { formatSize, GiB, KiB } from "#base/size.ts";
import { BLOCK_BYTES } from "#ext4/format.ts";
import { Ext4Writer } from "#ext4/write/writer.ts";
import type { Layer } from "#oci/layer.ts";
import { TarReader } from "#tar/reader.ts";
import { LayerApplier } from "./apply.ts";
import { inflate } from "./inflate.ts";
import { startInflater } from "./inflate-process.ts";

export interface RootfsOptions {
  /** Path of the file, which is replaced atomically. */
  path: string;
  /** Seed of the UUID and the hash seed: the same layers and seed give the same bytes. */
  seed: Digest;
  /** Free space in the file system. Default 0: images are read-only. */
  freeSpace_bytes?: number;
  /** Of all layers together, as tar. Default 64 GiB. */
  uncompressedMax_bytes?: number;
  /** Of all layers together. Default 2 million. */
  entriesMax?: number;
  signal?: AbortSignal | undefined;
  onProgress?: OnProgress | undefined;
}

export interface Rootfs {
  /** Length of the file. */
  size_bytes: number;
  /** Disk usage, without holes. */
  allocated_bytes: number;
  /** Number of inodes. */
  files: number;
  /** Bytes of all layers' tars. */
  uncompressed_bytes: number;
  /** Omitted extended attributes, of namespaces unknown to Linux. */
  droppedXattrs: number;
}

const UNCOMPRESSED_MAX_BYTES = 64 * GiB;
const ENTRIES_MAX = 2_000_000;
/** Bytes of tar to process before waiting for the output. */
const PIECE_BYTES = 512 * KiB;
/** Upper bound of an entry's metadata: padding, an attribute block, an inode, a directory block. */
const ENTRY_COST_BYTES = 3 * BLOCK_BYTES + KiB;

/**
 * Writes a temporary file and renames it. Errors: `integrity` for a layer that is corrupt or not a tar,
 * `limit_exceeded`, `no_space`, `cancelled`; nothing is left behind.
 */
export async function buildRootfs(
  layers: readonly Layer[],
  options: RootfsOptions,
): Promise<Rootfs> {
  throwIfAborted(options.signal);
  const staging = stagingPath(options.path);
  try {
    const fd = openSync(staging, "wx", 0o600);
    let result: Rootfs;
    try {
      result = await build(fd, layers, options);
    } finally {
      closeSync(fd);
    }
    throwIfAborted(options.signal);
    renameSync(staging, options.path);
    return result;
  } catch (error) {
    rmSync(staging, { force: true });
    throw toBangerError(error);
  }
}

async function build(
  fd: number,
  layers: readonly Layer[],
  options: RootfsOptions,
): Promise<Rootfs> {
  const max = options.uncompressedMax_bytes ?? UNCOMPRESSED_MAX_BYTES;
  const entriesMax = options.entriesMax ?? ENTRIES_MAX;
  const freeSpace_bytes = options.freeSpace_bytes ?? 0;
  const writer = new Ext4Writer(fd, {
    seed: options.seed,
    sizeMax_bytes: max + entriesMax * ENTRY_COST_BYTES + freeSpace_bytes * 2,
  });
  const counts = { entries: 0, xattrs_bytes: 0 };
  let started: ReturnType<typeof startInflater> | undefined;
  const inflater = () => (started ??= startInflater());
  let uncompressed_bytes = 0;
  try {
    for (const [index, layer] of layers.entries()) {
      const tar = new TarReader(new LayerApplier(writer, index + 1, { counts, entriesMax }));
      try {
        for await (const chunk of inflate(layer, {
          ...inflateOptions(layers, index, options),
          inflater,
        })) {
          uncompressed_bytes += chunk.length;
          if (uncompressed_bytes > max) throw tooLarge(max);
          for (let at = 0; at < chunk.length; at += PIECE_BYTES) {
            tar.push(chunk.subarray(at, at + PIECE_BYTES));
            await writer.drain();
          }
        }
        tar.finish();
      } catch (error) {
        throw await rootCause(error, layer, options.signal);
      }
    }
    options.onProgress?.({ step: "metadata", message: "Writing the file system" });
    const written = await writer.finish({ freeSpace_bytes, signal: options.signal });
    return {
      size_bytes: written.size_bytes,
      allocated_bytes: written.allocated_bytes,
      files: written.inodes,
      uncompressed_bytes,
      droppedXattrs: written.droppedXattrs,
    };
  } finally {
    await (await started)?.[Symbol.asyncDispose]();
    await writer.settle();
  }
}

/** The error of the source: corrupt bytes break unpacking before the digest is compared. */
async function rootCause(
  error: unknown,
  layer: Layer,
  signal: AbortSignal | undefined,
): Promise<unknown> {
  if (!(error instanceof BangerError) || error.code !== "integrity") return error;
  try {
    for await (const _ of layer.compressed(signal)) throwIfAborted(signal);
    return error;
  } catch (damaged) {
    return damaged;
  }
}

function inflateOptions(layers: readonly Layer[], index: number, options: RootfsOptions) {
  const layer = layers[index];
  assert(layer, "there is a layer for each index");
  const step = `unpack ${shortDigest(layer.digest)}`;
  const message = `Unpacking layer ${index + 1} of ${layers.length}`;
  return {
    signal: options.signal,
    onRead: (done: number): void => {
      if (layer.isOwn) return;
      options.onProgress?.({ step, message, done, total: layer.size, unit: "bytes" });
    },
  };
}

function tooLarge(max: number): BangerError {
  return new BangerError(
    "limit_exceeded",
    `Cannot unpack the image: its layers hold more than ${formatSize(max)}`,
  );
}
