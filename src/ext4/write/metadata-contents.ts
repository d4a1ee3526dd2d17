/** Directories and extent trees: the metadata that stands among the data. */
import { writeDirectory } from "#ext4/directory.ts";
import { putExtentTree, type Run } from "#ext4/extent-tree.ts";
import { BLOCK_BYTES, extent, inode as inodeAt, modes } from "#ext4/format.ts";
import { inodeSeed } from "#ext4/identity.ts";
import { breathe, type MetadataInput, STEP } from "./metadata-input.ts";
import type { Tree } from "./tree.ts";

/** Writes every directory and sets its place, size and links in the tree. */
export async function writeDirectories(input: MetadataInput): Promise<void> {
  const { tree, output } = input;
  let written = 0;
  for (let inode = 2; inode < tree.inodeEnd; inode++) {
    if (!tree.isUsed(inode) || (tree.modeOf(inode) & modes.TYPE_MASK) !== modes.DIRECTORY) continue;
    if (++written % STEP === 0) await breathe(input);
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
export async function writeExtentTrees(
  input: MetadataInput,
): Promise<Map<number, { root: Uint8Array; blocks: number }>> {
  const { tree, output } = input;
  const trees = new Map<number, { root: Uint8Array; blocks: number }>();
  for (let inode = 2; inode < tree.inodeEnd; inode++) {
    const runs = input.sparse.get(inode) ?? longRun(tree, inode);
    if (!runs) continue;
    await breathe(input);
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

/** The one run of a file, when it is too long for the extents in the inode. */
function longRun(tree: Tree, inode: number): Run[] | undefined {
  const { start, blocks } = tree.run(inode);
  if (blocks <= extent.BLOCKS_MAX * extent.INLINE_MAX) return undefined;
  return [{ logical: 0, physical: start, count: blocks }];
}
