/** Byte strings (names, link targets) kept back to back; a reference is one 32-bit number. */
import { BangerError } from "#base/error.ts";
import { MiB } from "#base/size.ts";
import { putBytes } from "#ext4/bytes.ts";

const SEGMENT_BYTES = MiB;
/** Several times what a file system of a million files has. */
const NAMES_MAX_BYTES = 128 * MiB;

export class Names {
  readonly #segments: Uint8Array[] = [];
  #used = SEGMENT_BYTES;

  /** Keeps a copy of `bytes`, at most 4096 of them. */
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
