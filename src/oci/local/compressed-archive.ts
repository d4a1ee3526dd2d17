/** Decompresses image archives to a temporary file, because their entries are read in any order. */
import { createWriteStream } from "node:fs";
import { dirname } from "node:path";
import { pipeline } from "node:stream/promises";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { throwIfAborted } from "#base/abort.ts";
import { COMPRESSION_HEAD_BYTES, type Compression, compressionOf } from "#base/compression.ts";
import { isCorruption } from "#base/decompress.ts";
import { BangerError, messageOf } from "#base/error.ts";
import { openRegular, readAt, readChunks } from "#base/files/chunks.ts";
import { assertRoom } from "#base/files/free-space.ts";
import type { OnProgress } from "#base/progress.ts";
import { MiB } from "#base/size.ts";

/** Interval of the checks for free disk space, the only limit of the archive's size. */
const CHECK_INTERVAL_BYTES = 16 * MiB;

/** Undefined for a file that is not compressed or cannot be read. */
export async function compressionOfFile(path: string): Promise<Compression | undefined> {
  try {
    await using file = await openRegular(path);
    return compressionOf(await readAt(file, 0, COMPRESSION_HEAD_BYTES));
  } catch {
    return undefined;
  }
}

/** Decompresses `from` to `to`, which must not exist. Errors: `integrity`, `unsupported`, `no_space`, `cancelled`. */
export async function unpackFile(
  from: string,
  to: string,
  options: {
    kind: Compression;
    signal?: AbortSignal | undefined;
    onProgress?: OnProgress | undefined;
  },
): Promise<void> {
  const { kind, signal, onProgress } = options;
  if (kind !== "gzip" && kind !== "zstd") {
    throw new BangerError(
      "unsupported",
      `Cannot read "${from}": unsupported compression (${kind})`,
      {
        hint: `Unpack it first with ${kind === "xz" ? "unxz" : kind === "bzip2" ? "bunzip2" : `${kind} -d`}`,
      },
    );
  }
  onProgress?.({ step: "unpack", message: `Decompressing ${from}` });
  async function* bounded(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    let untilCheck = 0;
    for await (const chunk of source) {
      untilCheck -= chunk.length;
      if (untilCheck <= 0) {
        assertRoom(dirname(to), CHECK_INTERVAL_BYTES, `Cannot decompress "${from}"`);
        untilCheck = CHECK_INTERVAL_BYTES;
      }
      yield chunk;
    }
  }
  const out = createWriteStream(to, { flags: "wx", mode: 0o600 });
  try {
    await pipeline(
      readChunks(from, { signal }),
      kind === "gzip" ? createGunzip() : createZstdDecompress(),
      bounded,
      out,
    );
  } catch (error) {
    throwIfAborted(signal);
    if (!isCorruption(error)) throw error;
    throw new BangerError(
      "integrity",
      `Cannot read "${from}": corrupt compressed data: ${messageOf(error)}`,
      { cause: error },
    );
  }
}
