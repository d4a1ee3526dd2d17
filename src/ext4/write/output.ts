/**
 * Buffered sequential block output to a file. Full buffers are written by the thread pool while the next one fills;
 * memory stays at a few buffers if the caller awaits `drain()` between the pieces of its input.
 */
import { fstatSync, ftruncateSync, write, writeSync } from "node:fs";
import { assert } from "#base/assert.ts";
import { diskFull, roomAt } from "#base/files/free-space.ts";
import { nonZeroParts } from "#base/files/sparse.ts";
import { dropPages, startWriteback } from "#base/libc.ts";
import { KiB, MiB } from "#base/size.ts";
import { putBytes } from "#ext4/bytes.ts";
import { BLOCK_BYTES } from "#ext4/format.ts";

/** Small enough to stay in the CPU cache until the kernel copies it: 2 MiB takes twice the time. */
const BUFFER_BYTES = 256 * KiB;
/** How much is written between two calls that start writeback. */
const WRITEBACK_BYTES = 8 * MiB;
/** How far behind the current position pages are usually clean. */
const WRITTEN_AFTER_BYTES = 16 * MiB;
/**
 * How much of the file stays in the page cache for its next reader. Pages beyond are dropped once they are clean, so
 * that writes reuse their memory: fresh pages cost more than all the rest of a write.
 */
const CACHED_BYTES = 256 * MiB;
/** Buffers being written before `drain()` waits. */
const IN_FLIGHT_MAX = 4;
/** Buffers being written before a write blocks: input that grows a thousandfold must not fill the memory. */
const QUEUE_MAX = 64;
/** How much is written, at most, between two checks of the free disk space: a small layer can expand to very much. */
const FREE_SPACE_CHECK_BYTES = 16 * MiB;

export class BlockOutput {
  readonly #fd: number;
  readonly #spare: Uint8Array<ArrayBuffer>[] = [];
  #inFlight = 0;
  #wake: (() => void) | undefined;
  #failure: unknown;
  #buffer = new Uint8Array(BUFFER_BYTES);
  #fill = 0;
  /** Byte offset in the file of the start of the buffer. */
  #start: number;
  /** Offset up to which writeback was started. */
  #writebackEnd: number;
  /** Bytes to write before the next check of the free disk space. */
  #untilSpaceCheck = 0;

  /** The caller closes `fd`. Output begins at block `firstBlock`; nothing before it is written. */
  constructor(fd: number, firstBlock: number) {
    this.#fd = fd;
    this.#start = firstBlock * BLOCK_BYTES;
    this.#writebackEnd = this.#start;
  }

  /** Offset in the file of the next byte. */
  get position(): number {
    return this.#start + this.#fill;
  }

  /** Number of the next block; the output must be at a block boundary. */
  get block(): number {
    assert(this.#fill % BLOCK_BYTES === 0, "output is at a block boundary");
    return this.position / BLOCK_BYTES;
  }

  write(bytes: Uint8Array): void {
    if (bytes.length < BUFFER_BYTES - this.#fill) {
      putBytes(this.#buffer, this.#fill, bytes);
      this.#fill += bytes.length;
      return;
    }
    for (let from = 0; from < bytes.length; ) {
      const count = Math.min(bytes.length - from, BUFFER_BYTES - this.#fill);
      this.#buffer.set(bytes.subarray(from, from + count), this.#fill);
      this.#advance(count);
      from += count;
    }
  }

  zeros(count: number): void {
    let left = count;
    while (left > 0) {
      const part = Math.min(left, BUFFER_BYTES - this.#fill);
      this.#buffer.fill(0, this.#fill, this.#fill + part);
      this.#advance(part);
      left -= part;
    }
  }

  padToBlock(): void {
    const over = this.#fill % BLOCK_BYTES;
    if (over !== 0) this.zeros(BLOCK_BYTES - over);
  }

  /** Appends a block of zeros and returns a view of it, to be filled at once. */
  nextBlock(): Uint8Array {
    assert(this.#fill % BLOCK_BYTES === 0, "output is at a block boundary");
    if (this.#fill === BUFFER_BYTES) this.#flushBuffer();
    const view = this.#buffer.subarray(this.#fill, this.#fill + BLOCK_BYTES).fill(0);
    this.#fill += BLOCK_BYTES;
    return view;
  }

  /** Skips `count` blocks: a hole, if nothing was written there. */
  skipBlocks(count: number): void {
    assert(this.#fill % BLOCK_BYTES === 0, "output is at a block boundary");
    if (this.#fill > 0) this.#flushBuffer();
    this.#start += count * BLOCK_BYTES;
  }

  /** Waits until at most `left` buffers are pending; throws the error of an earlier write. */
  async drain(left = IN_FLIGHT_MAX): Promise<void> {
    while (this.#inFlight > left && this.#failure === undefined) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    if (this.#failure !== undefined) throw this.#failure;
    // One step behind, since the buffers in flight may not be in the file yet.
    if (this.#start - this.#writebackEnd < 2 * WRITEBACK_BYTES) return;
    startWriteback(this.#fd, this.#writebackEnd, WRITEBACK_BYTES);
    const written = this.#writebackEnd - WRITTEN_AFTER_BYTES;
    if (written >= CACHED_BYTES) dropPages(this.#fd, written, WRITEBACK_BYTES);
    this.#writebackEnd += WRITEBACK_BYTES;
  }

  /** Writes everything out and waits for it. */
  async finish(): Promise<void> {
    if (this.#fill > 0) this.#flushBuffer();
    await this.drain(0);
  }

  /** Waits for pending writes, failed ones too, so that the caller can close the file. */
  async settle(): Promise<void> {
    while (this.#inFlight > 0) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  #advance(count: number): void {
    this.#fill += count;
    if (this.#fill === BUFFER_BYTES) this.#flushBuffer();
  }

  #flushBuffer(): void {
    const buffer = this.#buffer;
    const length = this.#fill;
    const start = this.#start;
    this.#start += length;
    this.#fill = 0;
    this.#buffer = this.#spare.pop() ?? new Uint8Array(BUFFER_BYTES);
    const parts = nonZeroParts(buffer, { length });
    if (parts.length === 0) {
      this.#spare.push(buffer);
      return;
    }
    this.#checkFreeSpace(length);
    if (this.#inFlight >= QUEUE_MAX) {
      for (const [from, end] of parts) {
        writeAt(this.#fd, buffer.subarray(from, end), start + from);
      }
      this.#spare.push(buffer);
      return;
    }
    this.#inFlight++;
    this.#writeParts(buffer, start, parts);
  }

  #checkFreeSpace(length: number): void {
    this.#untilSpaceCheck -= length;
    if (this.#untilSpaceCheck > 0) return;
    const path = `/proc/self/fd/${this.#fd}`;
    // Buffers in flight are not allocated yet.
    const pending_bytes = (this.#inFlight + 1) * BUFFER_BYTES;
    const left_bytes = roomAt(path) - pending_bytes;
    if (left_bytes <= 0) throw diskFull("Cannot write the file system");
    this.#untilSpaceCheck = Math.min(FREE_SPACE_CHECK_BYTES, left_bytes / 2);
  }

  /** Writes `parts` of a buffer whose start is at offset `start` of the file, one after the other. */
  #writeParts(
    buffer: Uint8Array<ArrayBuffer>,
    start: number,
    [part, ...rest]: [start: number, end: number][],
  ): void {
    const [from, end] = part ?? [0, 0];
    write(this.#fd, buffer, from, end - from, start + from, (error, written) => {
      const canContinue = !error && written > 0 && this.#failure === undefined;
      if (canContinue && from + written < end) {
        this.#writeParts(buffer, start, [[from + written, end], ...rest]);
        return;
      }
      if (canContinue && rest.length > 0) {
        this.#writeParts(buffer, start, rest);
        return;
      }
      if (error) this.#failure ??= error;
      this.#inFlight--;
      if (this.#spare.length <= IN_FLIGHT_MAX) this.#spare.push(buffer);
      this.#wake?.();
    });
  }
}

/** Writes all of `bytes` at an offset, synchronously. */
export function writeAt(fd: number, bytes: Uint8Array, position: number): void {
  let from = 0;
  while (from < bytes.length) {
    from += writeSync(fd, bytes, from, bytes.length - from, position + from);
  }
}

/** Sets the file's size, with a hole where it grows; returns its disk usage in bytes. */
export function setFileSize(fd: number, size_bytes: number): number {
  ftruncateSync(fd, size_bytes);
  return fstatSync(fd).blocks * 512;
}
