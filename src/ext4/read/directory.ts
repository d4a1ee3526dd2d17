/**
 * Reads directory entries. The index blocks of a hashed directory look like empty ones.
 * Source: Documentation/filesystems/ext4 ("Directory Entries").
 */
import { BangerError } from "#base/error.ts";
import { MiB } from "#base/size.ts";
import { slices } from "#base/slices.ts";
import { get16, get32 } from "#ext4/bytes.ts";
import { crc32c } from "#ext4/crc32c.ts";
import type { Run } from "#ext4/extent-tree.ts";
import { ENTRY_TAIL_BYTES, ENTRY_TYPE_CHECKSUM } from "#ext4/format.ts";
import { inodeSeed } from "#ext4/identity.ts";
import type { FileStat } from "./inode.ts";
import type { Volume } from "./superblock.ts";

export interface DirectoryEntry {
  name: Uint8Array;
  inode: number;
}

export interface Directory {
  file: FileStat;
  runs: readonly Run[];
  volume: Volume;
}

/** Room for a million long names; a directory keeps its size when files are removed. */
const DIRECTORY_MAX_BYTES = 256 * MiB;
/** Of one directory. */
const ENTRIES_MAX = 2_000_000;
/** Of the entry "." */
const DOT_BYTES = 12;

/** In the order on disk, with "." and ".." left out. */
export function listEntries(directory: Directory): DirectoryEntry[] {
  const result: DirectoryEntry[] = [];
  for (const read of blocksOf(directory)) read(keeper(result, ENTRIES_MAX));
  return result;
}

export function hasEntries(directory: Directory): boolean {
  let isFound = false;
  for (const read of blocksOf(directory)) {
    read(() => {
      isFound = true;
    });
    if (isFound) return true;
  }
  return false;
}

/** The same as `listEntries`, with a turn for the event loop between slices; counted before they are kept. */
export async function listSlowly(
  directory: Directory,
  max = ENTRIES_MAX,
): Promise<DirectoryEntry[]> {
  const limit = Math.min(max, ENTRIES_MAX);
  const pause = slices();
  let count = 0;
  for (const read of blocksOf(directory)) {
    read(() => {
      if (++count > limit) throw tooMany(limit);
    });
    await pause();
  }
  const result: DirectoryEntry[] = [];
  for (const read of blocksOf(directory)) {
    read(keeper(result, limit));
    await pause();
  }
  return result;
}

/** The inode of a name, undefined when there is no such entry. */
export function findEntry(directory: Directory, wanted: Uint8Array): number | undefined {
  let found: number | undefined;
  for (const read of blocksOf(directory)) {
    read(({ name, inode }) => {
      if (found === undefined && isSame(name, wanted)) found = inode;
    });
    if (found !== undefined) return found;
  }
  return undefined;
}

/** For each block what reads its entries; their names are views into it. */
function* blocksOf({
  file,
  runs,
  volume,
}: Directory): Generator<(onEntry: (entry: DirectoryEntry) => void) => void> {
  if (file.size > DIRECTORY_MAX_BYTES) {
    throw new BangerError("limit_exceeded", "Cannot read ext4 image: a directory is too large");
  }
  const { checksumSeed, hasChecksums, blockSize } = volume;
  const seed = hasChecksums ? inodeSeed(checksumSeed, file.inode, file.generation) : undefined;
  let left = file.size / blockSize;
  for (const run of runs) {
    for (let index = 0; index < run.count && left > 0; index++, left--) {
      const block = volume.block(run.physical + index);
      yield (onEntry) => parseDirectoryBlock(block, seed, onEntry);
    }
  }
}

function keeper(result: DirectoryEntry[], max: number) {
  return ({ name, inode }: DirectoryEntry): void => {
    if (result.length >= max) throw tooMany(max);
    result.push({ name: name.slice(), inode });
  };
}

/**
 * Calls `onEntry` for each entry, "." and ".." left out, with a name that is a view into the block.
 * `seed`: to verify the checksum of a leaf with.
 */
export function parseDirectoryBlock(
  block: Uint8Array,
  seed: number | undefined,
  onEntry: (entry: DirectoryEntry) => void,
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
      onEntry({ name, inode });
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

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let at = 0; at < a.length; at++) if (a[at] !== b[at]) return false;
  return true;
}

function tooMany(max: number): BangerError {
  return new BangerError(
    "limit_exceeded",
    `Cannot read ext4 image: a directory has more than ${max} entries`,
  );
}

function damaged(): BangerError {
  return new BangerError("integrity", "Cannot read ext4 image: corrupt directory block");
}
