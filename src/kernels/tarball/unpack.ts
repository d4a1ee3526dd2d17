/**
 * Unpacks the archive of a kernel, a zstd-compressed tar, while streaming. Its content is untrusted; entry-rules.ts
 * has the rules.
 */
import { closeSync, ftruncateSync, linkSync, mkdirSync, openSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { constants, createZstdDecompress } from "node:zlib";
import { throwIfAborted } from "#base/abort.ts";
import { BangerError, messageOf } from "#base/error.ts";
import { writeSparseAt } from "#base/files/sparse.ts";
import { formatSize, GiB, KiB, MiB } from "#base/size.ts";
import { shown, type TarEntry } from "#tar/entry.ts";
import { TAR_BLOCK_BYTES } from "#tar/header.ts";
import { TarReader } from "#tar/reader.ts";
import { EntryRules, refused } from "./entry-rules.ts";

const MAX_ENTRIES = 20_000;
export const MAX_UNPACKED_BYTES = 4 * GiB;
/** Maximum compression ratio of a kernel, if the catalog has no uncompressed size. */
const RATIO_MAX = 30;
/** Headers, padding and the end of the archive, in addition to the files. */
const OVERHEAD_BYTES = 64 * MiB;
/** Maximum zstd window, as a power of two: 64 MiB. */
const WINDOW_LOG_MAX = 26;
const CHUNK_BYTES = 512 * KiB;

export interface UnpackOptions {
  /** Compressed size of the archive. */
  size_bytes: number;
  /** Uncompressed size of its files, if known. */
  unpacked_bytes?: number | undefined;
  /** Receives the data of the file at that path. */
  watch?: { path: string; take: (bytes: Uint8Array) => void } | undefined;
  signal?: AbortSignal | undefined;
}

/** Writes the files below `folder`, which must be empty. `integrity` with the name of a rejected entry. */
export async function unpackArchive(
  source: AsyncIterable<Uint8Array>,
  folder: string,
  options: UnpackOptions,
): Promise<void> {
  const unpacker = new Unpacker(folder, options);
  const zstd = createZstdDecompress({
    chunkSize: CHUNK_BYTES,
    params: { [constants.ZSTD_d_windowLogMax]: WINDOW_LOG_MAX },
  });
  try {
    const take = async (chunks: AsyncIterable<Uint8Array>): Promise<void> => {
      for await (const chunk of chunks) unpacker.push(chunk);
    };
    await pipeline(source, zstd, take, options.signal ? { signal: options.signal } : {});
    unpacker.finish();
    if (zstd.bytesWritten !== options.size_bytes) {
      const rest = options.size_bytes - zstd.bytesWritten;
      throw new BangerError("integrity", `Cannot unpack the archive: ${rest} trailing bytes`);
    }
  } catch (error) {
    if (error instanceof BangerError) throw error;
    throwIfAborted(options.signal);
    if (isZstdError(error)) {
      const text = `Cannot unpack the archive: invalid zstd data: ${messageOf(error)}`;
      throw new BangerError("integrity", text, { cause: error });
    }
    throw error;
  } finally {
    unpacker.close();
  }
}

function isZstdError(error: unknown): boolean {
  return error instanceof Error && "code" in error && /^Z(STD)?_/.test(String(error.code));
}

/** Also checks the end of the archive, which TarReader ignores: only zeros may follow. */
class Unpacker {
  readonly #folder: string;
  readonly #rules = new EntryRules();
  readonly #reader = new TarReader({
    entry: (entry) => this.#entry(entry),
    data: (bytes, offset) => this.#data(bytes, offset),
    end: () => this.#end(),
  });
  readonly #max_bytes: number;
  readonly #watch: UnpackOptions["watch"];
  #block = Buffer.alloc(TAR_BLOCK_BYTES);
  #filled = 0;
  #file: { fd: number; path: string; name: string; size: number; done: number } | undefined;
  #padding = 0;
  #isOver = false;
  #entries = 0;
  #unpacked = 0;
  #seen = 0;

  constructor(folder: string, { size_bytes, unpacked_bytes, watch }: UnpackOptions) {
    this.#folder = folder;
    this.#watch = watch;
    const promised = unpacked_bytes ?? size_bytes * RATIO_MAX + OVERHEAD_BYTES;
    this.#max_bytes = Math.min(promised, MAX_UNPACKED_BYTES);
  }

  push(chunk: Uint8Array): void {
    this.#seen += chunk.length;
    if (this.#seen > this.#max_bytes + OVERHEAD_BYTES) throw this.#tooLarge();
    for (let at = 0; at < chunk.length; ) at += this.#take(chunk, at);
  }

  finish(): void {
    // An incomplete block means that the end is missing.
    if (this.#filled > 0) this.#reader.push(this.#block.subarray(0, this.#filled));
    this.#reader.finish();
    if (!this.#isOver) {
      throw new BangerError("integrity", "Cannot unpack the archive: unexpected end of file");
    }
  }

  close(): void {
    if (this.#file) closeSync(this.#file.fd);
    this.#file = undefined;
  }

  #take(chunk: Uint8Array, at: number): number {
    const available = chunk.length - at;
    if (this.#isOver) {
      if (!isZero(chunk.subarray(at))) {
        throw new BangerError("integrity", "Cannot unpack the archive: trailing data");
      }
      return available;
    }
    if (this.#file) {
      const count = Math.min(this.#file.size - this.#file.done, available);
      this.#reader.push(chunk.subarray(at, at + count));
      return count;
    }
    if (this.#padding > 0) {
      const count = Math.min(this.#padding, available);
      this.#reader.push(chunk.subarray(at, at + count));
      this.#padding -= count;
      return count;
    }
    const count = Math.min(TAR_BLOCK_BYTES - this.#filled, available);
    this.#block.set(chunk.subarray(at, at + count), this.#filled);
    this.#filled += count;
    if (this.#filled === TAR_BLOCK_BYTES) {
      this.#filled = 0;
      this.#isOver = isZero(this.#block);
      this.#reader.push(this.#block);
    }
    return count;
  }

  #entry(entry: TarEntry): void {
    const name = shown(entry.name);
    if (++this.#entries > MAX_ENTRIES) {
      throw refused(name, `more than ${MAX_ENTRIES} entries`, "limit_exceeded");
    }
    const { kind, path, implied, target } = this.#rules.check(entry);
    this.#unpacked += entry.size;
    if (this.#unpacked > this.#max_bytes) throw this.#tooLarge(name);
    for (const parent of implied) mkdirSync(join(this.#folder, parent), { mode: 0o755 });
    const place = join(this.#folder, path);
    if (kind === "directory") mkdirSync(place, { recursive: true, mode: 0o755 });
    else if (kind === "symlink") symlinkSync(target, place);
    else if (kind === "link") linkSync(join(this.#folder, target), place);
    else this.#open(path, name, entry.size);
  }

  #open(path: string, name: string, size: number): void {
    const fd = openSync(join(this.#folder, path), "wx", 0o644);
    this.#file = { fd, path, name, size, done: 0 };
    ftruncateSync(fd, size);
  }

  #data(bytes: Uint8Array, offset: number): void {
    const file = this.#file;
    if (!file || offset !== file.done)
      throw refused(file?.name ?? "a file", "sparse files are not supported");
    writeSparseAt(file.fd, bytes, file.done);
    if (file.path === this.#watch?.path) this.#watch.take(bytes);
    file.done += bytes.length;
  }

  #end(): void {
    const file = this.#file;
    if (!file) return;
    this.close();
    if (file.done !== file.size) throw refused(file.name, "sparse files are not supported");
    this.#padding = (TAR_BLOCK_BYTES - (file.size % TAR_BLOCK_BYTES)) % TAR_BLOCK_BYTES;
  }

  #tooLarge(name = "the archive"): BangerError {
    const limit = formatSize(this.#max_bytes);
    return refused(name, `larger than the limit of ${limit}`, "limit_exceeded");
  }
}

function isZero(bytes: Uint8Array): boolean {
  for (const byte of bytes) if (byte !== 0) return false;
  return true;
}
