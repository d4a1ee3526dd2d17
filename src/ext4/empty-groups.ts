/** Bitmaps and group descriptors of an empty file system whose groups each keep their own metadata. */
import { crc32c } from "./crc32c.ts";
import {
  BLOCK_BYTES,
  BLOCKS_PER_GROUP,
  FIRST_INODE,
  GROUP_BLOCK_UNINIT,
  GROUP_DESCRIPTOR_BYTES,
  GROUP_INODE_UNINIT,
  GROUP_INODES_ZEROED,
} from "./format.ts";
import { putGroup, sealGroup } from "./group.ts";
import type { Identity } from "./identity.ts";

export interface EmptyGeometry {
  blocks: number;
  groups: number;
  descriptorBlocks: number;
  inodesPerGroup: number;
  tableBlocks: number;
}

/** Whether a group begins with a backup of the superblock: 1 and the powers of 3, 5 and 7. */
export function hasBackup(group: number): boolean {
  if (group === 1) return true;
  return [3, 5, 7].some((base) => {
    let power = base;
    while (power < group) power *= base;
    return power === group;
  });
}

/** Blocks of superblock and descriptors at the start of a group. */
export function leadBlocks(geometry: EmptyGeometry, group: number): number {
  return group === 0 || hasBackup(group) ? 1 + geometry.descriptorBlocks : 0;
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

/** Two directories (root and lost+found) and the first eleven inodes are in use, all in group 0. */
export function makeGroups(input: GroupsInput): GroupsOutput {
  const { geometry, identity } = input;
  const descriptors = new Uint8Array(geometry.descriptorBlocks * BLOCK_BYTES);
  const bitmaps = new Map<number, Uint8Array>();
  const last = geometry.groups - 1;
  let freeBlocks = 0;
  for (let number = 0; number <= last; number++) {
    const start = number * BLOCKS_PER_GROUP;
    const blockBitmap = start + leadBlocks(geometry, number);
    const inodeTable = blockBitmap + 2;
    const used = number === 0 ? input.firstUsed : inodeTable + geometry.tableBlocks - start;
    const length = Math.min(BLOCKS_PER_GROUP, geometry.blocks - start);
    let blockBitmapChecksum = 0;
    let inodeBitmapChecksum = 0;
    if (number === 0 || number === last) {
      const bitmap = makeBitmap(used, length);
      bitmaps.set(blockBitmap, bitmap);
      blockBitmapChecksum = crc32c(identity.checksumSeed, bitmap);
    }
    if (number === 0) {
      const bitmap = makeBitmap(FIRST_INODE, geometry.inodesPerGroup);
      bitmaps.set(blockBitmap + 1, bitmap);
      const covered = geometry.inodesPerGroup / 8;
      inodeBitmapChecksum = crc32c(identity.checksumSeed, bitmap, 0, covered);
    }
    const at = number * GROUP_DESCRIPTOR_BYTES;
    const descriptor = descriptors.subarray(at, at + GROUP_DESCRIPTOR_BYTES);
    const usedInodes = number === 0 ? FIRST_INODE : 0;
    putGroup(descriptor, {
      blockBitmap,
      inodeBitmap: blockBitmap + 1,
      inodeTable,
      freeBlocks: length - used,
      freeInodes: geometry.inodesPerGroup - usedInodes,
      directories: number === 0 ? 2 : 0,
      unusedInodes: geometry.inodesPerGroup - usedInodes,
      flags:
        GROUP_INODES_ZEROED |
        (number === 0 ? 0 : GROUP_INODE_UNINIT) |
        (number === 0 || number === last ? 0 : GROUP_BLOCK_UNINIT),
      blockBitmapChecksum,
      inodeBitmapChecksum,
    });
    sealGroup(descriptor, number, identity.checksumSeed);
    freeBlocks += length - used;
  }
  return { bitmaps, descriptors, freeBlocks };
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
