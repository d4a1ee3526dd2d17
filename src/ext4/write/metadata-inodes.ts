/** The inode tables of all groups, one after the other. */
import { fail } from "#base/assert.ts";
import { putExtentTree } from "#ext4/extent-tree.ts";
import {
  BLOCK_BYTES,
  EXTRA_ISIZE,
  FAST_SYMLINK_END_BYTES,
  INODE_BASE_BYTES,
  INODE_BYTES,
  INODE_FLAG_EA_INODE,
  INODE_FLAG_EXTENTS,
  INODE_FLAG_INDEX,
  INODES_PER_BLOCK,
  inode as inodeAt,
  modes,
} from "#ext4/format.ts";
import { inodeSeed } from "#ext4/identity.ts";
import { putDevice, putInode, putValueFields, sealInode } from "#ext4/inode.ts";
import { putInline } from "#ext4/xattr.ts";
import { breathe, type Geometry, type Placed, STEP } from "./metadata-input.ts";

/** Runs of zero blocks at least this long become holes. */
const HOLE_MIN_BLOCKS = 16;

export async function writeInodeTables(input: Placed, geometry: Geometry): Promise<void> {
  const { tree, output } = input;
  const inodes = geometry.groups * geometry.inodesPerGroup;
  for (let first = 1; first <= inodes; first += INODES_PER_BLOCK) {
    if ((first >> 4) % STEP === 0) await breathe(input);
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

function fillInode(bytes: Uint8Array, number: number, input: Placed): void {
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
  if (input.values.has(number)) flags |= INODE_FLAG_EA_INODE;
  const xattrs = input.xattrs.get(number);
  if (xattrs && xattrs.block !== 0) blocks += 1 + xattrs.valueBlocks;
  putInode(bytes, { ...view, flags, blocks, xattrBlock: xattrs?.block ?? 0 });
  if (xattrs && xattrs.inline.length > 0) {
    putInline(bytes.subarray(INODE_BASE_BYTES + EXTRA_ISIZE), xattrs.inline);
  }
  const hash = input.values.get(number);
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
