/**
 * Sequential block output to a file: small pieces are gathered into large writes that run in the
 * thread pool, while the next buffer fills. Holds at most a few buffers, if its owner awaits
 * `drain()` between the pieces of its input.
 */
import { fstatSync, ftruncateSync, write, writeSync } from "node:fs";
import { assert } from "#base/assert.ts";
import { diskFull, roomAt } from "#base/files/free-space.ts";
import { nonZeroParts } from "#base/files/sparse.ts";
import { dropPages, startWriteback } from "#base/libc.ts";
import { KiB, MiB } from "#base/size.ts";
import { putBytes } from "#ext4/bytes.ts";
import { BLOCK_BYTES } from "#ext4/format.ts";

/** Small enough to be in the processor's cache still when the kernel copies it: 2 MiB takes twice its time. */
const BUFFER_BYTES = 256 * KiB;
/** How much is written before the kernel is told to put it on the disk. */
const WRITEBACK_BYTES = 8 * MiB;
/** How much later a part is on the disk, as a rule. */
const WRITTEN_AFTER_BYTES = 16 * MiB;
/**
 * How much of the file stays in memory, where its next reader finds it. What is beyond goes as soon as it is on the
 * disk, and its memory is used again: memory that was not used for long costs more than all the rest of a write.
 */
const CACHED_BYTES = 256 * MiB;
/** Buffers being written before `drain()` waits. */
const IN_FLIGHT_MAX = 4;
/** Buffers being written before a write blocks: input that grows a thousandfold must not fill the memory. */
const QUEUE_MAX = 64;
/** How much is written before the room on the disk is looked at again, at most: a small layer can hold very much. */
const ROOM_STEP_BYTES = 16 * MiB;

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
  /** Up to where the kernel was told to put the file on the disk. */
  #flushed: number;
  /** Bytes to be written before the next look at the room on the disk. */
  #untilLook = 0;

  /** `fd` stays the caller's. Output begins at block `firstBlock`; nothing before it is written. */
  constructor(fd: number, firstBlock: number) {
    this.#fd = fd;
    this.#start = firstBlock * BLOCK_BYTES;
    this.#flushed = this.#start;
  }

  /** Bytes from the start of the file to where the next byte goes. */
  get position(): number {
    return this.#start + this.#fill;
  }

  /** The block that begins here; the output must stand at a block's start. */
  get block(): number {
    assert(this.#fill % BLOCK_BYTES === 0, "output stands at the start of a block");
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

  /** A zeroed view of the next block, which counts as written: fill it at once. */
  nextBlock(): Uint8Array {
    assert(this.#fill % BLOCK_BYTES === 0, "output stands at the start of a block");
    if (this.#fill === BUFFER_BYTES) this.#send();
    const view = this.#buffer.subarray(this.#fill, this.#fill + BLOCK_BYTES).fill(0);
    this.#fill += BLOCK_BYTES;
    return view;
  }

  /** Leaves `count` blocks as they are in the file: a hole, if nothing wrote them. */
  skipBlocks(count: number): void {
    assert(this.#fill % BLOCK_BYTES === 0, "output stands at the start of a block");
    if (this.#fill > 0) this.#send();
    this.#start += count * BLOCK_BYTES;
  }

  /** Waits until few buffers are left to be written; throws what any write before has met. */
  async drain(left = IN_FLIGHT_MAX): Promise<void> {
    while (this.#inFlight > left && this.#failure === undefined) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    if (this.#failure !== undefined) throw this.#failure;
    // One piece behind, since the buffers in flight may not be in the file yet.
    if (this.#start - this.#flushed < 2 * WRITEBACK_BYTES) return;
    startWriteback(this.#fd, this.#flushed, WRITEBACK_BYTES);
    const written = this.#flushed - WRITTEN_AFTER_BYTES;
    if (written >= CACHED_BYTES) dropPages(this.#fd, written, WRITEBACK_BYTES);
    this.#flushed += WRITEBACK_BYTES;
  }

  /** Everything is in the file when this returns, also the failed writes' buffers are free. */
  async finish(): Promise<void> {
    if (this.#fill > 0) this.#send();
    await this.drain(0);
  }

  /** Waits for the writes under way whatever comes of them, so that the caller can close the file. */
  async settle(): Promise<void> {
    while (this.#inFlight > 0) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  #advance(count: number): void {
    this.#fill += count;
    if (this.#fill === BUFFER_BYTES) this.#send();
  }

  #send(): void {
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
    this.#lookAtRoom(length);
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

  #lookAtRoom(length: number): void {
    this.#untilLook -= length;
    if (this.#untilLook > 0) return;
    const path = `/proc/self/fd/${this.#fd}`;
    // What is under way takes its room later.
    const pending_bytes = (this.#inFlight + 1) * BUFFER_BYTES;
    const left_bytes = roomAt(path) - pending_bytes;
    if (left_bytes <= 0) throw diskFull("Cannot write the file system");
    this.#untilLook = Math.min(ROOM_STEP_BYTES, left_bytes / 2);
  }

  /** `parts` of a buffer that begins at byte `start` of the file, one after the other. */
  #writeParts(
    buffer: Uint8Array<ArrayBuffer>,
    start: number,
    [part, ...rest]: [start: number, end: number][],
  ): void {
    const [from, end] = part ?? [0, 0];
    write(this.#fd, buffer, from, end - from, start + from, (error, written) => {
      const isGoingOn = !error && written > 0 && this.#failure === undefined;
      if (isGoingOn && from + written < end) {
        this.#writeParts(buffer, start, [[from + written, end], ...rest]);
        return;
      }
      if (isGoingOn && rest.length > 0) {
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

/** Writes all of `bytes` at a byte offset, at once. */
export function writeAt(fd: number, bytes: Uint8Array, position: number): void {
  let from = 0;
  while (from < bytes.length) {
    from += writeSync(fd, bytes, from, bytes.length - from, position + from);
  }
}

/** Sets the file's size, as a hole where it grows; gives the bytes that it takes on disk. */
export function setFileSize(fd: number, size_bytes: number): number {
  ftruncateSync(fd, size_bytes);
  return fstatSync(fd).blocks * 512;
}
