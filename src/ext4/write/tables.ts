/**
 * The growing in-memory tables of the file tree. They allocate in segments instead of one object per entry, so that a
 * million files cost little more than their own bytes, and growing never copies.
 */
import { BangerError } from "#base/error.ts";
import { MiB } from "#base/size.ts";
import { putBytes } from "#ext4/bytes.ts";

const SEGMENT_SHIFT = 12;
const RECORDS_PER_SEGMENT = 1 << SEGMENT_SHIFT;
const SEGMENT_MASK = RECORDS_PER_SEGMENT - 1;

/** Fixed-width records of 32-bit numbers. */
export class RecordTable {
  readonly #width: number;
  readonly #segments: Uint32Array[] = [];
  #count = 0;

  /** `width`: numbers in a record. */
  constructor(width: number) {
    this.#width = width;
  }

  get count(): number {
    return this.#count;
  }

  /** Appends a record of zeros and returns its index. */
  add(): number {
    if ((this.#count & SEGMENT_MASK) === 0)
      this.#segments.push(new Uint32Array(RECORDS_PER_SEGMENT * this.#width));
    return this.#count++;
  }

  get(index: number, field: number): number {
    const segment = this.#segments[index >>> SEGMENT_SHIFT] as Uint32Array;
    return segment[(index & SEGMENT_MASK) * this.#width + field] as number;
  }

  set(index: number, field: number, value: number): void {
    const segment = this.#segments[index >>> SEGMENT_SHIFT] as Uint32Array;
    segment[(index & SEGMENT_MASK) * this.#width + field] = value;
  }

  clear(index: number): void {
    const segment = this.#segments[index >>> SEGMENT_SHIFT] as Uint32Array;
    const start = (index & SEGMENT_MASK) * this.#width;
    segment.fill(0, start, start + this.#width);
  }
}

const SEGMENT_BYTES = MiB;
/** Several times what a file system of a million files has. */
const NAMES_MAX_BYTES = 128 * MiB;

/** Byte strings (names, link targets), stored back to back; a reference is one 32-bit number. */
export class ByteStrings {
  readonly #segments: Uint8Array[] = [];
  #used = SEGMENT_BYTES;

  /** Copies `bytes`, at most 4096 of them, and returns the reference. */
  add(bytes: Uint8Array): number {
    if (this.#used + bytes.length > SEGMENT_BYTES) {
      if (this.#segments.length * SEGMENT_BYTES >= NAMES_MAX_BYTES) {
        throw new BangerError(
          "limit_exceeded",
          `Cannot write the file tree: names and link targets take more than ${NAMES_MAX_BYTES / MiB} MiB`,
        );
      }
      this.#segments.push(new Uint8Array(SEGMENT_BYTES));
      this.#used = 0;
    }
    const index = this.#segments.length - 1;
    const reference = index * SEGMENT_BYTES + this.#used;
    putBytes(this.#segments[index] as Uint8Array, this.#used, bytes);
    this.#used += bytes.length;
    return reference;
  }

  /** A view, not a copy. */
  get(reference: number, length: number): Uint8Array {
    const start = reference % SEGMENT_BYTES;
    return this.#segment(reference).subarray(start, start + length);
  }

  equals(reference: number, bytes: Uint8Array): boolean {
    const segment = this.#segment(reference);
    const start = reference % SEGMENT_BYTES;
    for (let index = 0; index < bytes.length; index++) {
      if (segment[start + index] !== bytes[index]) return false;
    }
    return true;
  }

  #segment(reference: number): Uint8Array {
    return this.#segments[Math.floor(reference / SEGMENT_BYTES)] as Uint8Array;
  }
}
