/**
 * Writes directory blocks: one linear block if everything fits, else a hashed tree (an index over leaves in hash
 * order), in which the kernel finds a name in constant time.
 * Source: Documentation/filesystems/ext4 ("Directory Entries", "Hash Tree Directories").
 */
import { BangerError } from "#base/error.ts";
import { put16, put32, putBytes } from "./bytes.ts";
import { crc32c, crc32cWord } from "./crc32c.ts";
import { directoryHash } from "./directory-hash.ts";
import {
  BLOCK_BYTES,
  ENTRY_TAIL_BYTES,
  ENTRY_TYPE_CHECKSUM,
  entryTypes,
  HASH_HALF_MD4,
  modes,
} from "./format.ts";

export interface DirectoryInput {
  inode: number;
  parentInode: number;
  count: number;
  name(index: number): Uint8Array;
  inodeOf(index: number): number;
  /** File type bits of a mode. */
  typeOf(index: number): number;
}

export interface DirectoryContext {
  hashSeed: Int32Array;
  /** From `inodeSeed` for this directory. */
  seed: number;
  /** Gives the next block of the directory, zeroed. */
  nextBlock(): Uint8Array;
}

const ENTRY_BYTES = 8;
const ROOM_BYTES = BLOCK_BYTES - ENTRY_TAIL_BYTES;
const DOTS_BYTES = 24;
const ROOT_ENTRIES_AT = 32;
const NODE_ENTRIES_AT = 8;
/** The last slot of an index block holds its checksum. */
const ROOT_LIMIT = (BLOCK_BYTES - ROOT_ENTRIES_AT) / 8 - 1;
const NODE_LIMIT = (BLOCK_BYTES - NODE_ENTRIES_AT) / 8 - 1;
/** Hash and index share one number when they are sorted. */
const ENTRIES_MAX = 2 ** 21;

/** Writes the blocks of a directory and tells how many, and whether they are a hashed tree. */
export function writeDirectory(
  input: DirectoryInput,
  context: DirectoryContext,
): { blocks: number; isHashed: boolean } {
  let total = DOTS_BYTES;
  for (let index = 0; index < input.count && total <= ROOM_BYTES; index++) {
    total += entryBytes(input.name(index).length);
  }
  if (total <= ROOM_BYTES) {
    writeLinear(input, context);
    return { blocks: 1, isHashed: false };
  }
  return { blocks: writeHashed(input, context), isHashed: true };
}

/** The blocks of an empty directory such as lost+found: the first has the dots, the others nothing. */
export function writeEmptyBlock(context: DirectoryContext): void {
  const block = context.nextBlock();
  put16(block, 4, ROOM_BYTES);
  sealLeaf(block, context.seed);
}

function entryBytes(nameBytes: number): number {
  return ENTRY_BYTES + ((nameBytes + 3) & ~3);
}

function writeLinear(input: DirectoryInput, context: DirectoryContext): void {
  const block = context.nextBlock();
  putDots(block, input, input.count === 0 ? ROOM_BYTES - 12 : 12);
  let at = DOTS_BYTES;
  for (let index = 0; index < input.count; index++) {
    at += putEntry(block, at, input, index, index === input.count - 1 ? ROOM_BYTES - at : 0);
  }
  sealLeaf(block, context.seed);
}

function putDots(block: Uint8Array, input: DirectoryInput, parentLength: number): void {
  const type = entryTypes[modes.DIRECTORY] as number;
  put32(block, 0, input.inode);
  put16(block, 4, 12);
  block[6] = 1;
  block[7] = type;
  block[8] = 0x2e;
  put32(block, 12, input.parentInode);
  put16(block, 16, parentLength);
  block[18] = 2;
  block[19] = type;
  block[20] = 0x2e;
  block[21] = 0x2e;
}

/** `length`: of the record when it is the last of its block, else 0. Gives the record's length. */
function putEntry(
  block: Uint8Array,
  at: number,
  input: DirectoryInput,
  index: number,
  length: number,
): number {
  const name = input.name(index);
  const record = length || entryBytes(name.length);
  put32(block, at, input.inodeOf(index));
  put16(block, at + 4, record);
  block[at + 6] = name.length;
  block[at + 7] = entryTypes[input.typeOf(index)] ?? 0;
  putBytes(block, at + ENTRY_BYTES, name);
  return record;
}

function sealLeaf(block: Uint8Array, seed: number): void {
  put16(block, ROOM_BYTES + 4, ENTRY_TAIL_BYTES);
  block[ROOM_BYTES + 7] = ENTRY_TYPE_CHECKSUM;
  put32(block, BLOCK_BYTES - 4, crc32c(seed, block, 0, ROOM_BYTES));
}

/** Leaves in hash order: where each starts in the sorted entries, and its hash in the index. */
interface Leaves {
  order: Uint32Array;
  starts: number[];
  hashes: number[];
}

function writeHashed(input: DirectoryInput, context: DirectoryContext): number {
  const leaves = planLeaves(input, context.hashSeed);
  const count = leaves.starts.length;
  const nodes = count <= ROOT_LIMIT ? 0 : Math.ceil(count / NODE_LIMIT);
  if (nodes > ROOT_LIMIT) throw tooLarge(input.count);
  writeRoot(input, context, leaves, nodes);
  for (let node = 0; node < nodes; node++) {
    const first = node * NODE_LIMIT;
    const block = context.nextBlock();
    put16(block, 4, BLOCK_BYTES);
    putIndex(block, NODE_ENTRIES_AT, {
      limit: NODE_LIMIT,
      hashes: leaves.hashes.slice(first, first + NODE_LIMIT),
      firstBlock: 1 + nodes + first,
      seed: context.seed,
    });
  }
  for (let leaf = 0; leaf < count; leaf++) {
    const start = leaves.starts[leaf] as number;
    const end = leaves.starts[leaf + 1] ?? input.count;
    const block = context.nextBlock();
    let at = 0;
    for (let place = start; place < end; place++) {
      const length = place === end - 1 ? ROOM_BYTES - at : 0;
      at += putEntry(block, at, input, leaves.order[place] as number, length);
    }
    sealLeaf(block, context.seed);
  }
  return 1 + nodes + count;
}

function writeRoot(
  input: DirectoryInput,
  context: DirectoryContext,
  leaves: Leaves,
  nodes: number,
): void {
  const block = context.nextBlock();
  putDots(block, input, BLOCK_BYTES - 12);
  block[28] = HASH_HALF_MD4;
  block[29] = 8;
  block[30] = nodes > 0 ? 1 : 0;
  const hashes =
    nodes === 0
      ? leaves.hashes
      : Array.from({ length: nodes }, (_, node) => leaves.hashes[node * NODE_LIMIT] as number);
  putIndex(block, ROOT_ENTRIES_AT, {
    limit: ROOT_LIMIT,
    hashes,
    firstBlock: 1,
    seed: context.seed,
  });
}

/** An index: (hash, block) pairs; the first has no hash, its place holds the limit and the count. */
function putIndex(
  block: Uint8Array,
  offset: number,
  index: { limit: number; hashes: readonly number[]; firstBlock: number; seed: number },
): void {
  for (const [entry, hash] of index.hashes.entries()) {
    put32(block, offset + entry * 8, hash);
    put32(block, offset + entry * 8 + 4, index.firstBlock + entry);
  }
  put16(block, offset, index.limit);
  put16(block, offset + 2, index.hashes.length);
  const covered = crc32c(index.seed, block, 0, offset + index.hashes.length * 8);
  put32(block, BLOCK_BYTES - 4, crc32cWord(crc32cWord(covered, 0), 0));
}

function planLeaves(input: DirectoryInput, hashSeed: Int32Array): Leaves {
  if (input.count >= ENTRIES_MAX) throw tooLarge(input.count);
  const keys = new Float64Array(input.count);
  for (let index = 0; index < input.count; index++) {
    keys[index] = directoryHash(input.name(index), hashSeed) * ENTRIES_MAX + index;
  }
  keys.sort();
  const order = new Uint32Array(input.count);
  const starts: number[] = [];
  const hashes: number[] = [];
  let used = ROOM_BYTES;
  let previous = -1;
  for (let place = 0; place < input.count; place++) {
    const key = keys[place] as number;
    const hash = Math.floor(key / ENTRIES_MAX);
    const index = key - hash * ENTRIES_MAX;
    order[place] = index;
    const length = entryBytes(input.name(index).length);
    if (used + length > ROOM_BYTES) {
      // An odd hash in the index tells the reader that the hash goes on from the leaf before.
      hashes.push(hash === previous ? hash + 1 : hash);
      starts.push(place);
      used = 0;
    }
    used += length;
    previous = hash;
  }
  return { order, starts, hashes };
}

function tooLarge(count: number): BangerError {
  return new BangerError(
    "limit_exceeded",
    `Cannot write a directory of ${count} entries: too many for ext4`,
  );
}
