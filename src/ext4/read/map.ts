/**
 * Maps a file's blocks to disk blocks: extent trees, and the block lists of ext2 and ext3.
 * Source: Documentation/filesystems/ext4 ("The Contents of inode.i_block").
 */
import { BangerError } from "#base/error.ts";
import { BlockSet } from "#ext4/block-set.ts";
import { get16, get32 } from "#ext4/bytes.ts";
import { crc32c } from "#ext4/crc32c.ts";
import type { Run } from "#ext4/extent-tree.ts";
import { extent, INODE_FLAG_EXTENTS } from "#ext4/format.ts";
import { inodeSeed } from "#ext4/identity.ts";
import type { FileStat } from "./inode.ts";
import type { Volume } from "./superblock.ts";

const RUNS_MAX = 1_000_000;
/** Blocks of extents or lists read for one file. */
const NODES_MAX = 100_000;
const DIRECT_BLOCKS = 12;

/**
 * Runs in the order of the file, without holes and unwritten extents. A block that belongs to the file
 * twice, or to a file before it in `taken`, is damage: what is read stays within the size of the disk.
 */
export function mapBlocks(file: FileStat, volume: Volume, taken?: BlockSet): Run[] {
  const runs: Run[] = [];
  const walk: Walk = { file, volume, runs, nodes: new Set() };
  if (file.flags & INODE_FLAG_EXTENTS) readExtents(file.map, walk, -1);
  else readLists(walk);
  if (!taken && runs.length <= 1) return runs;
  const blocks = taken ?? new BlockSet();
  for (const { physical, count } of runs) {
    if (!blocks.add(physical, count)) throw shared(file);
  }
  return runs;
}

interface Walk {
  file: FileStat;
  volume: Volume;
  runs: Run[];
  /** Blocks of the map read so far. */
  nodes: Set<number>;
}

/** `level`: the depth that the node above promises; -1 for the root. */
function readExtents(node: Uint8Array, walk: Walk, level: number): void {
  const entries = get16(node, 2);
  const depth = get16(node, 6);
  const room = Math.floor((node.length - extent.HEADER_BYTES) / extent.ENTRY_BYTES);
  const isRoot = level < 0;
  const isValid =
    get16(node, 0) === extent.MAGIC &&
    entries <= room &&
    (isRoot ? depth <= extent.DEPTH_MAX : depth === level);
  if (!isValid) throw damaged(walk.file);
  for (let index = 0; index < entries; index++) {
    const at = extent.HEADER_BYTES + index * extent.ENTRY_BYTES;
    const logical = get32(node, at);
    if (depth > 0) {
      const child = nextNode(walk, get32(node, at + 4) + get16(node, at + 8) * 2 ** 32);
      if (walk.volume.hasChecksums) checkNode(child, walk);
      readExtents(child, walk, depth - 1);
      continue;
    }
    const length = get16(node, at + 4);
    if (length === 0) throw damaged(walk.file);
    if (length > extent.BLOCKS_MAX) continue;
    const physical = get32(node, at + 8) + get16(node, at + 6) * 2 ** 32;
    addRun(walk, { logical, physical, count: length });
  }
}

function nextNode(walk: Walk, number: number): Uint8Array {
  if (walk.nodes.has(number)) throw shared(walk.file);
  if (walk.nodes.add(number).size > NODES_MAX) throw damaged(walk.file);
  return walk.volume.block(number);
}

function checkNode(node: Uint8Array, walk: Walk): void {
  const { file, volume } = walk;
  const end = extent.HEADER_BYTES + get16(node, 4) * extent.ENTRY_BYTES;
  const seed = inodeSeed(volume.checksumSeed, file.inode, file.generation);
  if (end + 4 > node.length || crc32c(seed, node, 0, end) !== get32(node, end)) {
    throw damaged(file);
  }
}

function addRun(walk: Walk, run: Run): void {
  const { runs, volume, file } = walk;
  const last = runs[runs.length - 1];
  const isInside = run.physical >= 1 && run.physical + run.count <= volume.blocks;
  if (!isInside || (last && run.logical < last.logical + last.count)) throw damaged(file);
  const isNext =
    last &&
    last.logical + last.count === run.logical &&
    last.physical + last.count === run.physical;
  if (isNext) {
    last.count += run.count;
    return;
  }
  if (runs.length >= RUNS_MAX) throw damaged(file);
  runs.push(run);
}

/** Twelve direct blocks, then lists of one, two and three levels. */
function readLists(walk: Walk): void {
  const { file, volume } = walk;
  const perList = volume.blockSize / 4;
  const blocks = Math.ceil(file.size / volume.blockSize);
  const read = (number: number, level: number, logical: number): void => {
    if (number === 0 || logical >= blocks) return;
    if (level === 0) {
      addRun(walk, { logical, physical: number, count: 1 });
      return;
    }
    const list = nextNode(walk, number);
    const span = perList ** (level - 1);
    for (let index = 0; index < perList && logical + index * span < blocks; index++) {
      read(get32(list, index * 4), level - 1, logical + index * span);
    }
  };
  for (let index = 0; index < DIRECT_BLOCKS; index++) read(get32(file.map, index * 4), 0, index);
  let logical = DIRECT_BLOCKS;
  for (let level = 1; level <= 3; level++) {
    read(get32(file.map, (DIRECT_BLOCKS + level - 1) * 4), level, logical);
    logical += perList ** level;
  }
}

function shared(file: FileStat): BangerError {
  return new BangerError(
    "integrity",
    `Cannot read ext4 image: inode ${file.inode} shares blocks with another inode`,
  );
}

function damaged(file: FileStat): BangerError {
  return new BangerError(
    "integrity",
    `Cannot read ext4 image: corrupt block map in inode ${file.inode}`,
  );
}
