/**
 * Writes the metadata of a tree whose data is in place: attribute blocks, directories and extent trees right after the
 * data, then the areas of layout.ts, and last, at the start of the image, group descriptors and the superblock.
 */
import { writeDirectory } from "#ext4/directory.ts";
import { putExtentTree, type Run } from "#ext4/extent-tree.ts";
import {
  BLOCK_BYTES,
  extent,
  FIRST_INODE,
  inode as inodeAt,
  modes,
  superblock as superblockAt,
} from "#ext4/format.ts";
import { inodeSeed } from "#ext4/identity.ts";
import { makeSuperblock } from "#ext4/superblock.ts";
import {
  writeBlockBitmaps,
  writeDescriptors,
  writeInodeBitmaps,
  writeInodeTables,
} from "./groups.ts";
import {
  DRAIN_INTERVAL,
  drainOutput,
  type ExtentTree,
  type MetadataInput,
  planGeometry,
} from "./layout.ts";
import { writeAt } from "./output.ts";
import type { Tree } from "./tree.ts";
import { writeXattrs } from "./xattrs.ts";

export interface MetadataResult {
  blocks: number;
  inodes: number;
  droppedXattrs: number;
}

/** All metadata, in the order in which it is written. */
export async function writeMetadata(input: MetadataInput): Promise<MetadataResult> {
  const xattrs = await writeXattrs(input);
  await writeDirectories(input);
  const extentTrees = await writeExtentTrees(input);
  const geometry = planGeometry(input);
  const blockCounts = await writeBlockBitmaps(input, geometry);
  const inodeCounts = await writeInodeBitmaps(input, geometry);
  await writeInodeTables({ ...input, xattrs, extentTrees }, geometry);
  writeDescriptors(input, geometry, { blockCounts, inodeCounts });
  const freeInodes = totalFree(inodeCounts);
  const inodes = geometry.groups * geometry.inodesPerGroup;
  const superblock = makeSuperblock({
    identity: input.identity,
    label: input.label,
    hasValueInodes: xattrs.valueInodes.size > 0,
    blocks: geometry.blocks,
    freeBlocks: totalFree(blockCounts),
    inodes,
    freeInodes,
    inodesPerGroup: geometry.inodesPerGroup,
    hasBackups: false,
  });
  writeAt(input.fd, superblock, superblockAt.OFFSET);
  return {
    blocks: geometry.blocks,
    inodes: inodes - freeInodes - (FIRST_INODE - 2),
    droppedXattrs: xattrs.dropped,
  };
}

function totalFree(counts: readonly { free: number }[]): number {
  return counts.reduce((sum, { free }) => sum + free, 0);
}

/** Writes every directory and sets its blocks, size and links in the tree. */
async function writeDirectories(input: MetadataInput): Promise<void> {
  const { tree, output } = input;
  let written = 0;
  for (let inode = 2; inode < tree.inodeEnd; inode++) {
    if (!tree.isUsed(inode) || (tree.modeOf(inode) & modes.TYPE_MASK) !== modes.DIRECTORY) continue;
    if (++written % DRAIN_INTERVAL === 0) await drainOutput(input);
    const node = tree.aux(inode);
    const children = tree.children(node);
    const start = output.block;
    const { blocks } = writeDirectory(
      {
        inode,
        parentInode: tree.inodeOf(tree.parentOf(node)),
        count: children.length,
        name: (index) => tree.nameOf(children[index] as number),
        inodeOf: (index) => tree.inodeOf(children[index] as number),
        typeOf: (index) => tree.typeOf(children[index] as number),
      },
      {
        hashSeed: input.identity.hashSeed,
        seed: inodeSeed(input.identity.checksumSeed, inode),
        nextBlock: () => output.nextBlock(),
      },
    );
    tree.setRun(inode, start, blocks);
    tree.setSize(inode, blocks * BLOCK_BYTES);
    const subdirectories = children.reduce(
      (sum, child) => sum + Number(tree.isDirectory(child)),
      0,
    );
    tree.setLinks(inode, 2 + subdirectories);
  }
}

/** Extent trees of the files whose blocks do not fit four extents, by inode. */
async function writeExtentTrees(input: MetadataInput): Promise<Map<number, ExtentTree>> {
  const { tree, output } = input;
  const trees = new Map<number, ExtentTree>();
  for (let inode = 2; inode < tree.inodeEnd; inode++) {
    const runs = input.sparse.get(inode) ?? longRun(tree, inode);
    if (!runs) continue;
    await drainOutput(input);
    const root = new Uint8Array(inodeAt.BLOCK_BYTES);
    const indexBlocks = putExtentTree(root, runs, {
      seed: inodeSeed(input.identity.checksumSeed, inode),
      nextBlock: () => ({ number: output.block, block: output.nextBlock() }),
    });
    const dataBlocks = runs.reduce((sum, { count }) => sum + count, 0);
    trees.set(inode, { root, blocks: dataBlocks + indexBlocks });
  }
  return trees;
}

/** The only run of a file, if it is too long for the extents in the inode. */
function longRun(tree: Tree, inode: number): Run[] | undefined {
  const { start, blocks } = tree.run(inode);
  if (blocks <= extent.BLOCKS_MAX * extent.INLINE_MAX) return undefined;
  return [{ logical: 0, physical: start, count: blocks }];
}
