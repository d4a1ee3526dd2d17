/** Bitmaps and group descriptors of a file system that was written front to back. */
import { crc32c } from "#ext4/crc32c.ts";
import {
  BLOCK_BYTES,
  BLOCKS_PER_GROUP,
  FIRST_INODE,
  GROUP_DESCRIPTOR_BYTES,
  GROUP_INODES_ZEROED,
  modes,
} from "#ext4/format.ts";
import { putGroup, sealGroup } from "#ext4/group.ts";
import { breathe, type Geometry, type MetadataInput, STEP } from "./metadata-input.ts";
import { writeAt } from "./output.ts";

/** Free blocks as ranges in order: the unneeded reserve, what was removed, and the end. */
export function freeRanges(
  input: MetadataInput,
  geometry: Geometry,
): { start: number; end: number }[] {
  const ranges = [
    { start: 1 + geometry.descriptorBlocks, end: input.reserved },
    ...input.freed.map(({ start, blocks }) => ({ start, end: start + blocks })),
    { start: geometry.end, end: geometry.blocks },
  ];
  return ranges.filter(({ start, end }) => start < end).sort((a, b) => a.start - b.start);
}

export interface BitmapCount {
  free: number;
  checksum: number;
}

export async function writeBlockBitmaps(
  input: MetadataInput,
  geometry: Geometry,
  free: readonly { start: number; end: number }[],
): Promise<BitmapCount[]> {
  const counts: BitmapCount[] = [];
  let next = 0;
  for (let group = 0; group < geometry.groups; group++) {
    if (group % STEP === 0) await breathe(input);
    const first = group * BLOCKS_PER_GROUP;
    const end = first + BLOCKS_PER_GROUP;
    const bitmap = input.output.nextBlock().fill(0xff);
    let count = 0;
    for (; next < free.length; next++) {
      const range = free[next] as (typeof free)[number];
      const from = Math.max(range.start, first);
      const to = Math.min(range.end, end);
      for (let block = from; block < to; block++) clearBit(bitmap, block - first);
      count += Math.max(0, to - from);
      if (range.end > end) break;
    }
    const checksum = crc32c(input.identity.checksumSeed, bitmap);
    counts.push({ free: count, checksum });
  }
  return counts;
}

export interface InodeCount extends BitmapCount {
  directories: number;
  /** Never used, at the end of the group's table. */
  unused: number;
}

export async function writeInodeBitmaps(
  input: MetadataInput,
  geometry: Geometry,
): Promise<InodeCount[]> {
  const { tree } = input;
  const counts: InodeCount[] = [];
  for (let group = 0; group < geometry.groups; group++) {
    if (group % STEP === 0) await breathe(input);
    const bitmap = input.output.nextBlock().fill(0xff);
    let used = 0;
    let directories = 0;
    let last = -1;
    for (let index = 0; index < geometry.inodesPerGroup; index++) {
      const inode = group * geometry.inodesPerGroup + index + 1;
      if (inode >= tree.inodeEnd || (inode >= FIRST_INODE && !tree.isUsed(inode))) {
        clearBit(bitmap, index);
        continue;
      }
      used++;
      last = index;
      if ((tree.modeOf(inode) & modes.TYPE_MASK) === modes.DIRECTORY) directories++;
    }
    counts.push({
      free: geometry.inodesPerGroup - used,
      checksum: crc32c(input.identity.checksumSeed, bitmap, 0, geometry.inodesPerGroup / 8),
      directories,
      unused: geometry.inodesPerGroup - 1 - last,
    });
  }
  return counts;
}

function clearBit(bitmap: Uint8Array, bit: number): void {
  bitmap[bit >> 3] = (bitmap[bit >> 3] as number) & ~(1 << (bit & 7));
}

export function writeDescriptors(
  input: MetadataInput,
  geometry: Geometry,
  counts: { blockCounts: readonly BitmapCount[]; inodeCounts: readonly InodeCount[] },
): void {
  const bytes = new Uint8Array(geometry.descriptorBlocks * BLOCK_BYTES);
  for (let number = 0; number < geometry.groups; number++) {
    const blocks = counts.blockCounts[number] as BitmapCount;
    const inodes = counts.inodeCounts[number] as InodeCount;
    const at = number * GROUP_DESCRIPTOR_BYTES;
    const descriptor = bytes.subarray(at, at + GROUP_DESCRIPTOR_BYTES);
    putGroup(descriptor, {
      blockBitmap: geometry.blockBitmaps + number,
      inodeBitmap: geometry.inodeBitmaps + number,
      inodeTable: geometry.tables + number * geometry.tableBlocks,
      freeBlocks: blocks.free,
      freeInodes: inodes.free,
      directories: inodes.directories,
      unusedInodes: inodes.unused,
      flags: GROUP_INODES_ZEROED,
      blockBitmapChecksum: blocks.checksum,
      inodeBitmapChecksum: inodes.checksum,
    });
    sealGroup(descriptor, number, input.identity.checksumSeed);
  }
  writeAt(input.fd, bytes, BLOCK_BYTES);
}
