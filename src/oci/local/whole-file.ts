/** Archives of images that are compressed as a whole: unpacked to a file beside, since they are read in any order. */
import { createWriteStream } from "node:fs";
import { dirname } from "node:path";
import { pipeline } from "node:stream/promises";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { throwIfAborted } from "#base/abort.ts";
import { COMPRESSION_HEAD_BYTES, type Compression, compressionOf } from "#base/compression.ts";
import { BangerError, messageOf } from "#base/error.ts";
import { openRegular, readAt, readChunks } from "#base/files/chunks.ts";
import { assertRoom } from "#base/files/free-space.ts";
import type { OnProgress } from "#base/progress.ts";
import { MiB } from "#base/size.ts";

/** Between two looks at the room on the disk, which is all that bounds the archive. */
const ROOM_STEP_BYTES = 16 * MiB;

/** By the first bytes of a file; undefined for another content, and for what cannot be read. */
export async function compressionOfFile(path: string): Promise<Compression | undefined> {
  try {
    await using file = await openRegular(path);
    return compressionOf(await readAt(file, 0, COMPRESSION_HEAD_BYTES));
  } catch {
    return undefined;
  }
}

/** Writes what is in `from` to `to`, which must not exist. `integrity`, `unsupported`, `no_space`, `cancelled`. */
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
    let untilLook = 0;
    for await (const chunk of source) {
      untilLook -= chunk.length;
      if (untilLook <= 0) {
        assertRoom(dirname(to), ROOM_STEP_BYTES, `Cannot decompress "${from}"`);
        untilLook = ROOM_STEP_BYTES;
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
    if (!isDamage(error)) throw error;
    throw new BangerError(
      "integrity",
      `Cannot read "${from}": corrupt compressed data: ${messageOf(error)}`,
      { cause: error },
    );
  }
}

/** The runtime ends a damaged stream with codes of zlib's and zstd's, a cut one with one of its own. */
function isDamage(error: unknown): boolean {
  return error instanceof Error && "code" in error && /^(Z_|ZSTD_|ERR_)/.test(String(error.code));
}
