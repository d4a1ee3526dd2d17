/** Reads files in chunks. */
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { throwIfAborted } from "#base/abort.ts";
import { BangerError } from "#base/error.ts";
import { MiB } from "#base/size.ts";

const CHUNK_BYTES = 1 * MiB;

export interface ChunkOptions {
  /** Default: the start of the file. */
  start?: number;
  /** At most this many bytes. Default: to the end of the file. */
  length?: number | undefined;
  signal?: AbortSignal | undefined;
}

/** Waits for no FIFO and opens no device: `invalid_argument` for both; else the error of the file system. */
export async function openRegular(path: string): Promise<FileHandle> {
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  if ((await file.stat()).isFile()) return file;
  await file.close();
  throw new BangerError("invalid_argument", `Cannot read "${path}": not a regular file`);
}

/** A file, or a part of one, in chunks that the reader may keep. Ends early when the file does. */
export async function* readChunks(
  path: string,
  options: ChunkOptions = {},
): AsyncGenerator<Uint8Array> {
  const file = await openRegular(path);
  try {
    let offset = options.start ?? 0;
    let left = options.length ?? (await file.stat()).size - offset;
    while (left > 0) {
      throwIfAborted(options.signal);
      const chunk = await readAt(file, offset, Math.min(CHUNK_BYTES, left));
      if (chunk.length === 0) return;
      offset += chunk.length;
      left -= chunk.length;
      yield chunk;
    }
  } finally {
    await file.close();
  }
}

/** The first `size` bytes of a file that is no symbolic link. Throws `conflict` if the file is shorter by now. */
export async function* readSized(path: Buffer, size: number): AsyncGenerator<Uint8Array> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    for (let offset = 0; offset < size; ) {
      const chunk = await readAt(file, offset, Math.min(size - offset, CHUNK_BYTES));
      if (chunk.length === 0) throw new BangerError("conflict", "file truncated while reading it");
      offset += chunk.length;
      yield chunk;
    }
  } finally {
    await file.close();
  }
}

/** Up to `length` bytes; fewer at the end of the file. */
export async function readAt(
  file: FileHandle,
  offset: number,
  length: number,
): Promise<Uint8Array> {
  const buffer = Buffer.allocUnsafeSlow(length);
  const { bytesRead } = await file.read(buffer, 0, length, offset);
  return buffer.subarray(0, bytesRead);
}
