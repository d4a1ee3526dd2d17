/**
 * A growing file with its newest part in memory: the writer does not wait for the disk, and a reader that keeps up is
 * served from memory. A reader that lags behind reads the file.
 */
import type { FileHandle } from "node:fs/promises";
import { BangerError } from "#base/error.ts";
import { readAt } from "#base/files/chunks.ts";
import { MiB } from "#base/size.ts";

/** Limit of unwritten bytes; beyond it the writer waits for the disk. */
const PENDING_MAX_BYTES = 4 * MiB;
/** Bytes kept in memory after they are written. */
const RECENT_MAX_BYTES = 2 * MiB;
const READ_MAX_BYTES = 1 * MiB;

interface Piece {
  offset: number;
  bytes: Uint8Array;
}

export class Spool {
  readonly #file: FileHandle;
  /** In order, contiguous up to the end. */
  #pieces: Piece[] = [];
  /** Bytes available to readers. */
  #size_bytes: number;
  /** Bytes written to the file. */
  #flushed_bytes: number;
  #writing: Promise<void> | undefined;
  #error: unknown;

  /** `size_bytes`: current size of the file. */
  constructor(file: FileHandle, size_bytes: number) {
    this.#file = file;
    this.#size_bytes = size_bytes;
    this.#flushed_bytes = size_bytes;
  }

  get size_bytes(): number {
    return this.#size_bytes;
  }

  /** Appends `bytes`, which must not change afterwards. Throws the error of an earlier write. */
  async append(bytes: Uint8Array): Promise<void> {
    if (this.#error) throw this.#error;
    this.#pieces.push({ offset: this.#size_bytes, bytes });
    this.#size_bytes += bytes.length;
    this.#writing ??= this.#write();
    if (this.#size_bytes - this.#flushed_bytes > PENDING_MAX_BYTES) await this.flush();
  }

  /** Waits until everything is in the file. */
  async flush(): Promise<void> {
    await this.#writing;
    if (this.#error) throw this.#error;
  }

  /** One chunk from `offset`, which must be less than the size. */
  async read(offset: number): Promise<Uint8Array> {
    const piece = this.#pieces.findLast((candidate) => candidate.offset <= offset);
    if (piece) return piece.bytes.subarray(offset - piece.offset);
    const left = (this.#pieces[0]?.offset ?? this.#size_bytes) - offset;
    const chunk = await readAt(this.#file, offset, Math.min(left, READ_MAX_BYTES));
    if (chunk.length > 0) return chunk;
    throw new BangerError(
      "integrity",
      "Cannot read a blob from the cache: its file was truncated",
      {
        hint: "Run the same command again",
      },
    );
  }

  async #write(): Promise<void> {
    try {
      while (this.#flushed_bytes < this.#size_bytes) {
        const start = this.#flushed_bytes;
        const pending = this.#pieces.flatMap(({ offset, bytes }) => {
          const rest = bytes.subarray(Math.max(0, start - offset));
          return rest.length > 0 ? [rest] : [];
        });
        const { bytesWritten } = await this.#file.writev(pending, start);
        this.#flushed_bytes += bytesWritten;
        this.#forget();
      }
    } catch (error) {
      this.#error = error;
    } finally {
      this.#writing = undefined;
    }
  }

  #forget(): void {
    let end = 0;
    for (const { offset, bytes } of this.#pieces) {
      const isOld = offset + bytes.length <= this.#flushed_bytes;
      if (!isOld || this.#size_bytes - offset <= RECENT_MAX_BYTES) break;
      end++;
    }
    this.#pieces.splice(0, end);
  }
}
