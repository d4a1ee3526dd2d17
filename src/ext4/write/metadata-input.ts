/** What the steps of writing metadata share. */
import { throwIfAborted } from "#base/abort.ts";
import type { Run } from "#ext4/extent-tree.ts";
import type { Identity } from "#ext4/identity.ts";
import type { BlockOutput } from "./output.ts";
import type { Tree } from "./tree.ts";
import type { PlacedXattrs } from "./xattr-place.ts";

export interface MetadataInput {
  fd: number;
  tree: Tree;
  output: BlockOutput;
  identity: Identity;
  label: string | undefined;
  /** Blocks at the start for superblock and descriptors; those not needed become free. */
  reserved: number;
  sparse: ReadonlyMap<number, readonly Run[]>;
  freed: readonly { start: number; blocks: number }[];
  freeSpace_bytes: number;
  signal: AbortSignal | undefined;
}

export interface Placed extends MetadataInput {
  xattrs: ReadonlyMap<number, PlacedXattrs>;
  /** Inodes that hold the value of an attribute, with its hash. */
  values: ReadonlyMap<number, number>;
  /** Extent trees that do not fit the inode: its 60 bytes, and the blocks below. */
  extentTrees: ReadonlyMap<number, { root: Uint8Array; blocks: number }>;
}

export interface Geometry {
  groups: number;
  inodesPerGroup: number;
  tableBlocks: number;
  /** First blocks of the three areas after the data. */
  blockBitmaps: number;
  inodeBitmaps: number;
  tables: number;
  /** End of what is used, and of the file system. */
  end: number;
  blocks: number;
  descriptorBlocks: number;
}

/** Pieces of work between two breaths. */
export const STEP = 512;

/** Lets the output catch up and the rest of the program run; throws when the work was cancelled. */
export async function breathe(input: MetadataInput): Promise<void> {
  throwIfAborted(input.signal);
  await input.output.drain();
}
