/** Input and geometry of the metadata that `finish()` writes after the data. */
import { throwIfAborted } from "#base/abort.ts";
import { BangerError } from "#base/error.ts";
import { KiB } from "#base/size.ts";
import type { Run } from "#ext4/extent-tree.ts";
import {
  BLOCK_BYTES,
  BLOCKS_PER_GROUP,
  GROUPS_PER_DESCRIPTOR_BLOCK,
  INODES_PER_BLOCK,
  INODES_PER_GROUP_MAX,
} from "#ext4/format.ts";
import type { Identity } from "#ext4/identity.ts";
import type { StoredXattr } from "#ext4/xattr.ts";
import type { BlockOutput } from "./output.ts";
import type { Tree } from "./tree.ts";

export interface MetadataInput {
  fd: number;
  tree: Tree;
  output: BlockOutput;
  identity: Identity;
  label: string | undefined;
  /** Blocks at the start for superblock and descriptors; the unused ones become free. */
  reserved: number;
  /** Runs of the files that have more than one, by inode. */
  sparse: ReadonlyMap<number, readonly Run[]>;
  /** Blocks of removed files. */
  freed: readonly { start: number; blocks: number }[];
  freeSpace_bytes: number;
  signal: AbortSignal | undefined;
}

/** Where the extended attributes of an inode were written. */
export interface InodeXattrs {
  inline: StoredXattr[];
  /** Number of the attribute block, 0 for none. */
  block: number;
  /** Blocks of its value inodes, which count as the file's. */
  valueBlocks: number;
}

export interface XattrPlacement {
  byInode: ReadonlyMap<number, InodeXattrs>;
  /** Inodes that hold the value of an attribute, with its hash. */
  valueInodes: ReadonlyMap<number, number>;
  /** Attributes left out because ext4 does not have their namespace. */
  dropped: number;
}

/** An extent tree that does not fit the inode: its root in 60 bytes, and the blocks of data and index. */
export interface ExtentTree {
  root: Uint8Array;
  blocks: number;
}

export interface InodeTableInput extends MetadataInput {
  xattrs: XattrPlacement;
  /** By inode. */
  extentTrees: ReadonlyMap<number, ExtentTree>;
}

/** The areas after the data: block bitmaps, inode bitmaps, inode tables, free blocks. */
export interface Geometry {
  groups: number;
  inodesPerGroup: number;
  /** Blocks of a group's inode table. */
  tableBlocks: number;
  /** First block of each area. */
  blockBitmaps: number;
  inodeBitmaps: number;
  tables: number;
  /** End of the last inode table. */
  end: number;
  /** Size of the file system. */
  blocks: number;
  descriptorBlocks: number;
}

/** One free inode for this much free space. */
const FREE_SPACE_PER_INODE_BYTES = 16 * KiB;
const FREE_INODES_MIN = 16;
/** The file's length is a multiple of this. */
const SIZE_STEP_BLOCKS = 256;

/** The smallest number of groups that holds the data, the metadata itself and the free space. */
export function planGeometry(input: MetadataInput): Geometry {
  const start = input.output.block;
  const freeBlocks = Math.ceil(input.freeSpace_bytes / BLOCK_BYTES);
  const spare = Math.ceil(input.freeSpace_bytes / FREE_SPACE_PER_INODE_BYTES);
  const inodes = input.tree.inodeEnd - 1 + Math.max(spare, FREE_INODES_MIN);
  for (let groups = Math.ceil(start / BLOCKS_PER_GROUP); ; groups++) {
    const tableBlocks = Math.ceil(inodes / groups / INODES_PER_BLOCK);
    const end = start + groups * (2 + tableBlocks);
    const least = Math.max(end + freeBlocks, (groups - 1) * BLOCKS_PER_GROUP + 1);
    const blocks = Math.ceil(least / SIZE_STEP_BLOCKS) * SIZE_STEP_BLOCKS;
    const inodesPerGroup = tableBlocks * INODES_PER_BLOCK;
    if (inodesPerGroup > INODES_PER_GROUP_MAX || blocks > groups * BLOCKS_PER_GROUP) continue;
    const descriptorBlocks = Math.ceil(groups / GROUPS_PER_DESCRIPTOR_BLOCK);
    if (1 + descriptorBlocks > input.reserved) {
      throw new BangerError(
        "limit_exceeded",
        `Cannot write an ext4 image of ${blocks * BLOCK_BYTES} bytes: larger than planned`,
      );
    }
    const inodeBitmaps = start + groups;
    const tables = inodeBitmaps + groups;
    return {
      groups,
      inodesPerGroup,
      tableBlocks,
      blockBitmaps: start,
      inodeBitmaps,
      tables,
      end,
      blocks,
      descriptorBlocks,
    };
  }
}

/** Loops over groups, inodes or directories await `drainOutput` once in this many iterations. */
export const DRAIN_INTERVAL = 512;

/** Waits until few writes are pending, which also lets the event loop run; throws if cancelled. */
export async function drainOutput(input: MetadataInput): Promise<void> {
  throwIfAborted(input.signal);
  await input.output.drain();
}
