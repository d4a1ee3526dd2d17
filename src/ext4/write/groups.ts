/** Block groups: block bitmaps, inode bitmaps, inode tables and descriptors, in the order in which they are written. */
import { fail } from "#base/assert.ts";
import { crc32c } from "#ext4/crc32c.ts";
import { putExtentTree } from "#ext4/extent-tree.ts";
import {
  BLOCK_BYTES,
  BLOCKS_PER_GROUP,
  EXTRA_ISIZE,
  FAST_SYMLINK_END_BYTES,
  FIRST_INODE,
  GROUP_DESCRIPTOR_BYTES,
  GROUP_INODES_ZEROED,
  INODE_BASE_BYTES,
  INODE_BYTES,
  INODE_FLAG_EA_INODE,
  INODE_FLAG_EXTENTS,
  INODE_FLAG_INDEX,
  INODES_PER_BLOCK,
  inode as inodeAt,
  modes,
} from "#ext4/format.ts";
import { putGroup, sealGroup } from "#ext4/group.ts";
import { inodeSeed } from "#ext4/identity.ts";
import { putDevice, putInode, putValueFields, sealInode } from "#ext4/inode.ts";
import { putInline } from "#ext4/xattr.ts";
import {
  DRAIN_INTERVAL,
  drainOutput,
  type Geometry,
  type InodeTableInput,
  type MetadataInput,
} from "./layout.ts";
import { writeAt } from "./output.ts";

/** Free blocks as sorted ranges: unused descriptor blocks, removed files, and the end. */
function freeRanges(input: MetadataInput, geometry: Geometry): { start: number; end: number }[] {
  const ranges = [
    { start: 1 + geometry.descriptorBlocks, end: input.reserved },
    ...input.freed.map(({ start, blocks }) => ({ start, end: start + blocks })),
    { start: geometry.end, end: geometry.blocks },
  ];
  return ranges.filter(({ start, end }) => start < end).sort((a, b) => a.start - b.start);
}

interface BitmapCount {
  free: number;
  checksum: number;
}

export async function writeBlockBitmaps(
  input: MetadataInput,
  geometry: Geometry,
): Promise<BitmapCount[]> {
  const free = freeRanges(input, geometry);
  const counts: BitmapCount[] = [];
  let next = 0;
  for (let group = 0; group < geometry.groups; group++) {
    if (group % DRAIN_INTERVAL === 0) await drainOutput(input);
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

interface InodeCount extends BitmapCount {
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
    if (group % DRAIN_INTERVAL === 0) await drainOutput(input);
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

/** Runs of zero blocks at least this long become holes. */
const HOLE_MIN_BLOCKS = 16;

export async function writeInodeTables(input: InodeTableInput, geometry: Geometry): Promise<void> {
  const { tree, output } = input;
  const inodes = geometry.groups * geometry.inodesPerGroup;
  for (let first = 1; first <= inodes; first += INODES_PER_BLOCK) {
    if ((first >> 4) % DRAIN_INTERVAL === 0) await drainOutput(input);
    if (first >= tree.inodeEnd) {
      const left = (inodes + 1 - first) / INODES_PER_BLOCK;
      if (left >= HOLE_MIN_BLOCKS) output.skipBlocks(left);
      else output.zeros(left * BLOCK_BYTES);
      return;
    }
    const block = output.nextBlock();
    for (let slot = 0; slot < INODES_PER_BLOCK; slot++) {
      const inode = first + slot;
      if (inode >= tree.inodeEnd || !tree.isUsed(inode)) continue;
      fillInode(block.subarray(slot * INODE_BYTES, (slot + 1) * INODE_BYTES), inode, input);
    }
  }
}

function fillInode(bytes: Uint8Array, number: number, input: InodeTableInput): void {
  const view = input.tree.inode(number);
  const seed = inodeSeed(input.identity.checksumSeed, number);
  const type = view.mode & modes.TYPE_MASK;
  const room = bytes.subarray(inodeAt.BLOCK, inodeAt.BLOCK + inodeAt.BLOCK_BYTES);
  const large = input.extentTrees.get(number);
  let flags = 0;
  let blocks = large?.blocks ?? view.blocks;
  if (type === modes.CHARACTER || type === modes.BLOCK) {
    putDevice(room, view.aux);
  } else if (type === modes.SYMLINK && view.size < FAST_SYMLINK_END_BYTES) {
    room.set(input.tree.bytesAt(view.aux, view.size));
  } else if (type !== modes.FIFO) {
    flags |= INODE_FLAG_EXTENTS;
    if (large) room.set(large.root);
    else putRun(room, view, seed);
    if (type === modes.DIRECTORY && view.blocks > 1) flags |= INODE_FLAG_INDEX;
  }
  if (input.xattrs.valueInodes.has(number)) flags |= INODE_FLAG_EA_INODE;
  const xattrs = input.xattrs.byInode.get(number);
  if (xattrs && xattrs.block !== 0) blocks += 1 + xattrs.valueBlocks;
  putInode(bytes, { ...view, flags, blocks, xattrBlock: xattrs?.block ?? 0 });
  if (xattrs && xattrs.inline.length > 0) {
    putInline(bytes.subarray(INODE_BASE_BYTES + EXTRA_ISIZE), xattrs.inline);
  }
  const hash = input.xattrs.valueInodes.get(number);
  if (hash !== undefined) putValueFields(bytes, hash);
  sealInode(bytes, seed);
}

function putRun(room: Uint8Array, run: { start: number; blocks: number }, seed: number): void {
  putExtentTree(room, [{ logical: 0, physical: run.start, count: run.blocks }], {
    seed,
    nextBlock: () => {
      fail("a short run fits the inode");
    },
  });
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

function clearBit(bitmap: Uint8Array, bit: number): void {
  bitmap[bit >> 3] = (bitmap[bit >> 3] as number) & ~(1 << (bit & 7));
}
