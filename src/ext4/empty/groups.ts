/** Bitmaps and group descriptors of an empty file system whose groups each keep their own metadata. */
import { put16, put32 } from "#ext4/bytes.ts";
import { crc32c } from "#ext4/crc32c.ts";
import {
  BLOCK_BYTES,
  BLOCKS_PER_GROUP,
  FIRST_INODE,
  GROUP_BLOCK_UNINIT,
  GROUP_DESCRIPTOR_BYTES,
  GROUP_INODE_UNINIT,
  GROUP_INODES_ZEROED,
  group,
} from "#ext4/format.ts";
import { type GroupFields, groupChecksum, putGroup, sealGroup } from "#ext4/group.ts";
import type { Identity } from "#ext4/identity.ts";

export interface EmptyGeometry {
  blocks: number;
  groups: number;
  descriptorBlocks: number;
  inodesPerGroup: number;
  tableBlocks: number;
}

/** The groups up to `last` that begin with a backup of the superblock: 1 and the powers of 3, 5 and 7. */
export function backupGroups(last: number): number[] {
  const groups = last >= 1 ? [1] : [];
  for (const base of [3, 5, 7]) {
    for (let power = base; power <= last; power *= base) groups.push(power);
  }
  return groups;
}

/** Blocks of superblock and descriptors at the start of a group. */
export function leadBlocks(geometry: EmptyGeometry, group: number): number {
  return group === 0 || backupGroups(group).includes(group) ? 1 + geometry.descriptorBlocks : 0;
}

export interface GroupsInput {
  geometry: EmptyGeometry;
  identity: Identity;
  /** Blocks in use at the start of group 0. */
  firstUsed: number;
}

export interface GroupsOutput {
  /** Blocks to write, by number. */
  bitmaps: Map<number, Uint8Array>;
  descriptors: Uint8Array;
  freeBlocks: number;
}

/**
 * The first and the last group, and those with a backup, one by one; all others are alike but for
 * their place, and are made in bulk: a file system of 16 TiB has 131,072 of them.
 */
export function makeGroups(input: GroupsInput): GroupsOutput {
  const { geometry, identity } = input;
  const descriptors = new Uint8Array(geometry.descriptorBlocks * BLOCK_BYTES);
  const bitmaps = new Map<number, Uint8Array>();
  const last = geometry.groups - 1;
  let freeBlocks = last > 1 ? fillAlike(descriptors, input) : 0;
  for (const number of new Set([0, ...backupGroups(last), last])) {
    const at = number * GROUP_DESCRIPTOR_BYTES;
    const descriptor = descriptors.subarray(at, at + GROUP_DESCRIPTOR_BYTES).fill(0);
    const fields = describe(input, number, bitmaps);
    putGroup(descriptor, fields);
    sealGroup(descriptor, number, identity.checksumSeed);
    freeBlocks += fields.freeBlocks;
  }
  return { bitmaps, descriptors, freeBlocks };
}

/** Two directories (root and lost+found) and the first eleven inodes are in use, all in group 0. */
function describe(
  input: GroupsInput,
  number: number,
  bitmaps: Map<number, Uint8Array>,
): GroupFields {
  const { geometry, identity } = input;
  const isFirst = number === 0;
  const isLast = number === geometry.groups - 1;
  const start = number * BLOCKS_PER_GROUP;
  const blockBitmap = start + leadBlocks(geometry, number);
  const inodeTable = blockBitmap + 2;
  const used = isFirst ? input.firstUsed : inodeTable + geometry.tableBlocks - start;
  const length = Math.min(BLOCKS_PER_GROUP, geometry.blocks - start);
  let blockBitmapChecksum = 0;
  let inodeBitmapChecksum = 0;
  if (isFirst || isLast) {
    const bitmap = makeBitmap(used, length);
    bitmaps.set(blockBitmap, bitmap);
    blockBitmapChecksum = crc32c(identity.checksumSeed, bitmap);
  }
  if (isFirst) {
    const bitmap = makeBitmap(FIRST_INODE, geometry.inodesPerGroup);
    bitmaps.set(blockBitmap + 1, bitmap);
    const covered = geometry.inodesPerGroup / 8;
    inodeBitmapChecksum = crc32c(identity.checksumSeed, bitmap, 0, covered);
  }
  const usedInodes = isFirst ? FIRST_INODE : 0;
  return {
    blockBitmap,
    inodeBitmap: blockBitmap + 1,
    inodeTable,
    freeBlocks: length - used,
    freeInodes: geometry.inodesPerGroup - usedInodes,
    directories: isFirst ? 2 : 0,
    unusedInodes: geometry.inodesPerGroup - usedInodes,
    flags:
      GROUP_INODES_ZEROED |
      (isFirst ? 0 : GROUP_INODE_UNINIT) |
      (isFirst || isLast ? 0 : GROUP_BLOCK_UNINIT),
    blockBitmapChecksum,
    inodeBitmapChecksum,
  };
}

/**
 * Fills all descriptors as those of full groups without a backup, and gives the free blocks of the
 * groups that are such. The checksum is linear: only what four words add to it is looked up.
 */
function fillAlike(descriptors: Uint8Array, input: GroupsInput): number {
  const { geometry, identity } = input;
  const fields = describe(
    { ...input, geometry: { ...geometry, descriptorBlocks: 0 } },
    2,
    new Map(),
  );
  const template = new Uint8Array(GROUP_DESCRIPTOR_BYTES);
  putGroup(template, { ...fields, blockBitmap: 0, inodeBitmap: 0, inodeTable: 0 });
  const base = groupChecksum(template, 0, identity.checksumSeed);
  const end = geometry.groups * GROUP_DESCRIPTOR_BYTES;
  descriptors.set(template);
  for (let done = GROUP_DESCRIPTOR_BYTES; done < end; done *= 2) {
    descriptors.copyWithin(done, 0, Math.min(done, end - done));
  }
  const table = contributions();
  for (let number = 0; number < geometry.groups; number++) {
    const at = number * GROUP_DESCRIPTOR_BYTES;
    const start = number * BLOCKS_PER_GROUP;
    put32(descriptors, at + group.BLOCK_BITMAP_LO, start);
    put32(descriptors, at + group.INODE_BITMAP_LO, start + 1);
    put32(descriptors, at + group.INODE_TABLE_LO, start + 2);
    const added =
      contribution(table, 0, number) ^
      contribution(table, 1, start) ^
      contribution(table, 2, start + 1) ^
      contribution(table, 3, start + 2);
    put16(descriptors, at + group.CHECKSUM, base ^ added);
  }
  const ordinary =
    geometry.groups - new Set([0, ...backupGroups(geometry.groups - 1), geometry.groups - 1]).size;
  return ordinary * fields.freeBlocks;
}

const CHANGING_WORDS = 4;

/**
 * What each byte of the group's number and of the descriptor's first three words adds to the
 * checksum of the two: 256 entries for each of 16 bytes.
 */
function contributions(): Int32Array {
  const message = new Uint8Array(4 + GROUP_DESCRIPTOR_BYTES);
  const table = new Int32Array(CHANGING_WORDS * 4 * 256);
  for (let byte = 0; byte < CHANGING_WORDS * 4; byte++) {
    for (let value = 1; value < 256; value++) {
      const lowest = value & -value;
      const at = byte * 256 + value;
      if (lowest === value) {
        message[byte] = value;
        table[at] = crc32c(0, message);
        message[byte] = 0;
      } else {
        const rest = table[byte * 256 + (value ^ lowest)] as number;
        table[at] = rest ^ (table[byte * 256 + lowest] as number);
      }
    }
  }
  return table;
}

function contribution(table: Int32Array, index: number, word: number): number {
  const at = index * 1024;
  return (
    (table[at + (word & 255)] as number) ^
    (table[at + 256 + ((word >>> 8) & 255)] as number) ^
    (table[at + 512 + ((word >>> 16) & 255)] as number) ^
    (table[at + 768 + (word >>> 24)] as number)
  );
}

/** Bits below `used` and from `length` on are set. */
function makeBitmap(used: number, length: number): Uint8Array {
  const bitmap = new Uint8Array(BLOCK_BYTES).fill(0xff);
  for (let bit = used; bit < length; bit++) {
    if ((bit & 7) === 0 && bit + 8 <= length) {
      bitmap[bit >> 3] = 0;
      bit += 7;
    } else {
      bitmap[bit >> 3] = (bitmap[bit >> 3] as number) & ~(1 << (bit & 7));
    }
  }
  return bitmap;
}
