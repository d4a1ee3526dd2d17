/** Entries of one directory block. The index blocks of a hashed directory look like empty ones. */
import { BangerError } from "#base/error.ts";
import { get16, get32 } from "./bytes.ts";
import { crc32c } from "./crc32c.ts";
import { ENTRY_TAIL_BYTES, ENTRY_TYPE_CHECKSUM } from "./format.ts";

export interface DirectoryEntry {
  name: Uint8Array;
  inode: number;
}

const ENTRIES_MAX = 10_000_000;
/** Of the entry "." */
const DOT_BYTES = 12;

/** Adds the entries to `result`, "." and ".." left out. `seed`: to verify the checksum of a leaf with. */
export function parseDirectoryBlock(
  block: Uint8Array,
  result: DirectoryEntry[],
  seed: number | undefined,
): void {
  const tail = block.length - ENTRY_TAIL_BYTES;
  const hasTail =
    !isIndexBlock(block) &&
    get32(block, tail) === 0 &&
    get16(block, tail + 4) === ENTRY_TAIL_BYTES &&
    block[tail + 7] === ENTRY_TYPE_CHECKSUM;
  if (seed !== undefined && hasTail && crc32c(seed, block, 0, tail) !== get32(block, tail + 8)) {
    throw damaged();
  }
  let at = 0;
  while (at < block.length) {
    const length = recordLength(get16(block, at + 4), block.length);
    const nameBytes = block[at + 6] as number;
    if (length < 8 || length % 4 !== 0 || at + length > block.length || 8 + nameBytes > length) {
      throw damaged();
    }
    const inode = get32(block, at);
    const name = block.subarray(at + 8, at + 8 + nameBytes);
    if (inode !== 0 && !isDots(name)) {
      if (nameBytes === 0 || name.includes(0) || name.includes(0x2f)) throw damaged();
      if (result.length >= ENTRIES_MAX) throw damaged();
      result.push({ name: name.slice(), inode });
    }
    at += length;
  }
}

/**
 * An index block has one empty entry, or "." and a ".." that go to its end; a leaf with a checksum ends
 * before that. Linux makes index blocks of leaves without clearing where the leaf's checksum was.
 */
function isIndexBlock(block: Uint8Array): boolean {
  const first = recordLength(get16(block, 4), block.length);
  if (first === block.length) return true;
  return first === DOT_BYTES && get16(block, DOT_BYTES + 4) === block.length - DOT_BYTES;
}

/** 65,536 does not fit 16 bits: it is written as 0 or 65,535. */
function recordLength(stored: number, blockSize: number): number {
  return blockSize === 65_536 && (stored === 0 || stored === 65_535) ? blockSize : stored;
}

function isDots(name: Uint8Array): boolean {
  return name[0] === 0x2e && (name.length === 1 || (name.length === 2 && name[1] === 0x2e));
}

function damaged(): BangerError {
  return new BangerError("integrity", "Cannot read ext4 image: a directory block is damaged");
}
