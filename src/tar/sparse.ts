/**
 * Maps of sparse files: the parts of a file that the archive contains.
 * Source: the GNU tar manual ("Storing Sparse Files").
 */
import { parseNumber, TAR_BLOCK_BYTES, tarError, toInteger } from "./header.ts";

export interface SparsePart {
  /** In the file. */
  offset: number;
  length: number;
}

const HEADER_PARTS = { start: 386, count: 4, moreAt: 482 };
const EXTENSION_PARTS = { start: 0, count: 21, moreAt: 504 };
const PART_BYTES = 24;
const PARTS_MAX = 100_000;

/** Adds the parts in an old GNU header, or in an extension block after it; tells whether another follows. */
export function readOldParts(
  block: Uint8Array,
  parts: SparsePart[],
  kind: "header" | "extension",
): boolean {
  const place = kind === "header" ? HEADER_PARTS : EXTENSION_PARTS;
  for (let index = 0; index < place.count; index++) {
    const at = place.start + index * PART_BYTES;
    if (block[at] === 0) break;
    const part = { offset: parseNumber(block, at, 12), length: parseNumber(block, at + 12, 12) };
    if (parts.length >= PARTS_MAX) throw tarError(`a sparse file has more than ${PARTS_MAX} parts`);
    parts.push(part);
  }
  return block[place.moreAt] === 1;
}

/** The real size in an old GNU sparse header. */
export function oldRealSize(block: Uint8Array): number {
  return parseNumber(block, 483, 12);
}

/**
 * Reads the map at the head of a PAX 1.0 sparse file's data: lines of decimal numbers, first their
 * count of pairs, padded to whole blocks. Gives undefined while more blocks are needed.
 */
export class SparseMapReader {
  readonly #numbers: number[] = [];
  #line = "";

  push(block: Uint8Array): SparsePart[] | undefined {
    for (let at = 0; at < TAR_BLOCK_BYTES; at++) {
      const byte = block[at] as number;
      if (byte !== 0x0a) {
        this.#line += String.fromCharCode(byte);
        if (this.#line.length > 20) throw tarError("a sparse file's map is malformed");
        continue;
      }
      this.#numbers.push(toInteger(this.#line));
      this.#line = "";
      const count = this.#numbers[0] as number;
      if (count > PARTS_MAX) throw tarError(`a sparse file has more than ${PARTS_MAX} parts`);
      if (this.#numbers.length === 1 + 2 * count) return this.#parts();
    }
    return undefined;
  }

  #parts(): SparsePart[] {
    const parts: SparsePart[] = [];
    for (let at = 1; at < this.#numbers.length; at += 2) {
      parts.push({
        offset: this.#numbers[at] as number,
        length: this.#numbers[at + 1] as number,
      });
    }
    return parts;
  }
}

/** Drops empty parts and checks the rest: in order, inside the file, and as long as the data. */
export function checkParts(
  parts: readonly SparsePart[],
  file: { size: number; data_bytes: number },
): SparsePart[] {
  const kept = parts.filter(({ length }) => length > 0);
  let end = 0;
  let total = 0;
  for (const { offset, length } of kept) {
    if (offset < end || offset + length > file.size) {
      throw tarError("a sparse file's map is out of order or beyond the file's end");
    }
    end = offset + length;
    total += length;
  }
  if (total !== file.data_bytes) throw tarError("a sparse file's map does not match its data");
  return kept;
}
