/**
 * A growing file with its newest part in memory: who writes does not wait for the disk, and
 * a reader who keeps up never reads back what was written a moment ago. A reader who lags
 * behind reads the file.
 */
import type { FileHandle } from "node:fs/promises";
import { BangerError } from "#base/error.ts";
import { readAt } from "#base/files/chunks.ts";
import { MiB } from "#base/size.ts";

/** Bytes that may wait for the disk before the writer has to wait as well. */
const PENDING_MAX_BYTES = 4 * MiB;
/** Bytes that stay in memory after they have been written. */
const RECENT_MAX_BYTES = 2 * MiB;
const READ_MAX_BYTES = 1 * MiB;

interface Piece {
  offset: number;
  bytes: Uint8Array;
}

export class Spool {
  readonly #file: FileHandle;
  /** In order, without gaps, up to the end. */
  #pieces: Piece[] = [];
  /** Bytes that can be read. */
  #size_bytes: number;
  /** Bytes that the file has. */
  #flushed_bytes: number;
  #writing: Promise<void> | undefined;
  #error: unknown;

  /** `size_bytes`: what the file holds already. */
  constructor(file: FileHandle, size_bytes: number) {
    this.#file = file;
    this.#size_bytes = size_bytes;
    this.#flushed_bytes = size_bytes;
  }

  get size_bytes(): number {
    return this.#size_bytes;
  }

  /** Takes over `bytes`, which must not change any more. Throws what an earlier write has met. */
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

  /** What follows after `offset`, which must be less than the size: one chunk of it. */
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
