/**
 * Writes extent trees, which map a file's blocks to disk blocks. Four extents fit in the inode, more go into blocks
 * below it.
 * Source: Documentation/filesystems/ext4 ("Extent Tree").
 */
import { assert } from "#base/assert.ts";
import { high32, put16, put32 } from "./bytes.ts";
import { crc32c } from "./crc32c.ts";
import { BLOCK_BYTES, extent } from "./format.ts";

/** `count` blocks of the file from block `logical` on are the blocks of the disk from `physical` on. */
export interface Run {
  logical: number;
  physical: number;
  count: number;
}

export interface ExtentContext {
  /** From `inodeSeed` for this file. */
  seed: number;
  /** Gives a zeroed block of the disk and its number. */
  nextBlock(): { block: Uint8Array; number: number };
}

interface Entry {
  logical: number;
  physical: number;
  /** Blocks of an extent; 0 in an index entry. */
  count: number;
}

/** Fills the 60 bytes of the inode and as many blocks as it takes, whose number it gives. */
export function putExtentTree(
  root: Uint8Array,
  runs: readonly Run[],
  context: ExtentContext,
): number {
  let entries = splitRuns(runs);
  let depth = 0;
  let blocks = 0;
  while (entries.length > extent.INLINE_MAX) {
    const parents: Entry[] = [];
    for (let first = 0; first < entries.length; first += extent.PER_BLOCK) {
      const part = entries.slice(first, first + extent.PER_BLOCK);
      const { block, number } = context.nextBlock();
      putNode(block, part, { depth, max: extent.PER_BLOCK });
      const covered = extent.HEADER_BYTES + extent.PER_BLOCK * extent.ENTRY_BYTES;
      put32(block, BLOCK_BYTES - 4, crc32c(context.seed, block, 0, covered));
      parents.push({ logical: (part[0] as Entry).logical, physical: number, count: 0 });
      blocks++;
    }
    entries = parents;
    depth++;
    assert(depth <= extent.DEPTH_MAX, "an extent tree is at most five levels deep");
  }
  putNode(root, entries, { depth, max: extent.INLINE_MAX });
  return blocks;
}

function splitRuns(runs: readonly Run[]): Entry[] {
  const entries: Entry[] = [];
  for (const { logical, physical, count } of runs) {
    for (let done = 0; done < count; done += extent.BLOCKS_MAX) {
      entries.push({
        logical: logical + done,
        physical: physical + done,
        count: Math.min(extent.BLOCKS_MAX, count - done),
      });
    }
  }
  return entries;
}

function putNode(
  bytes: Uint8Array,
  entries: readonly Entry[],
  node: { depth: number; max: number },
): void {
  put16(bytes, 0, extent.MAGIC);
  put16(bytes, 2, entries.length);
  put16(bytes, 4, node.max);
  put16(bytes, 6, node.depth);
  for (const [index, { logical, physical, count }] of entries.entries()) {
    const at = extent.HEADER_BYTES + index * extent.ENTRY_BYTES;
    put32(bytes, at, logical);
    if (node.depth === 0) {
      put16(bytes, at + 4, count);
      put16(bytes, at + 6, high32(physical));
      put32(bytes, at + 8, physical);
    } else {
      put32(bytes, at + 4, physical);
      put16(bytes, at + 8, high32(physical));
    }
  }
}
