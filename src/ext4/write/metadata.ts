/**
 * The second half of writing a file system: attribute blocks, directories, extent trees, and then
 * bitmaps, inode tables, group descriptors and the superblock, for a tree whose data is in place.
 */
import { BangerError } from "#base/error.ts";
import { KiB } from "#base/size.ts";
import {
  BLOCK_BYTES,
  BLOCKS_PER_GROUP,
  FIRST_INODE,
  GROUPS_PER_DESCRIPTOR_BLOCK,
  INODES_PER_BLOCK,
  INODES_PER_GROUP_MAX,
  superblock,
} from "#ext4/format.ts";
import { makeSuperblock } from "#ext4/superblock.ts";
import { writeDirectories, writeExtentTrees } from "./metadata-contents.ts";
import {
  freeRanges,
  writeBlockBitmaps,
  writeDescriptors,
  writeInodeBitmaps,
} from "./metadata-groups.ts";
import { writeInodeTables } from "./metadata-inodes.ts";
import { breathe, type Geometry, type MetadataInput, type Placed } from "./metadata-input.ts";
import { writeAt } from "./output.ts";
import { placeXattrs } from "./xattr-place.ts";

export interface MetadataResult {
  blocks: number;
  inodes: number;
  droppedXattrs: number;
}

/** One free inode for this much free space. */
const FREE_SPACE_PER_INODE_BYTES = 16 * KiB;
const FREE_INODES_MIN = 16;
/** The file's length is a multiple of this. */
const SIZE_STEP_BLOCKS = 256;

export async function writeMetadata(input: MetadataInput): Promise<MetadataResult> {
  const { xattrs, values, dropped } = await placeXattrs(input, () => breathe(input));
  await writeDirectories(input);
  const extentTrees = await writeExtentTrees(input);
  const placed: Placed = { ...input, xattrs, values, extentTrees };
  const geometry = plan(input);
  const free = freeRanges(input, geometry);
  const blockCounts = await writeBlockBitmaps(placed, geometry, free);
  const inodeCounts = await writeInodeBitmaps(placed, geometry);
  await writeInodeTables(placed, geometry);
  writeDescriptors(input, geometry, { blockCounts, inodeCounts });
  const freeBlocks = blockCounts.reduce((sum, { free: count }) => sum + count, 0);
  const freeInodes = inodeCounts.reduce((sum, { free: count }) => sum + count, 0);
  const inodes = geometry.groups * geometry.inodesPerGroup;
  const bytes = makeSuperblock({
    identity: input.identity,
    label: input.label,
    hasValueInodes: values.size > 0,
    blocks: geometry.blocks,
    freeBlocks,
    inodes,
    freeInodes,
    inodesPerGroup: geometry.inodesPerGroup,
    hasBackups: false,
  });
  writeAt(input.fd, bytes, superblock.OFFSET);
  return {
    blocks: geometry.blocks,
    inodes: inodes - freeInodes - (FIRST_INODE - 2),
    droppedXattrs: dropped,
  };
}

function plan(input: MetadataInput): Geometry {
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
