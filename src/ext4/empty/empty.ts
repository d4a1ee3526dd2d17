/**
 * Formats an empty, writable ext4 file system in a sparse file. Every group has its own metadata at its start, so all
 * bitmaps but those of the first and last follow from the descriptors and are not written: any size takes the same
 * few writes.
 */
import { closeSync, existsSync, openSync, renameSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { fail } from "#base/assert.ts";
import { BangerError, errnoOf, toBangerError } from "#base/error.ts";
import { stagingPath } from "#base/files/atomic.ts";
import { formatSize, GiB, KiB, MiB } from "#base/size.ts";
import { writeDirectory, writeEmptyBlock } from "#ext4/directory.ts";
import { putExtentTree } from "#ext4/extent-tree.ts";
import {
  BLOCK_BYTES,
  BLOCKS_PER_GROUP,
  FIRST_INODE,
  GROUPS_PER_DESCRIPTOR_BLOCK,
  INODE_BYTES,
  INODE_FLAG_EXTENTS,
  INODES_PER_BLOCK,
  inode as inodeAt,
  JOURNAL_INODE,
  modes,
  ROOT_INODE,
  superblock,
} from "#ext4/format.ts";
import { type Identity, identityOf, inodeSeed } from "#ext4/identity.ts";
import { putInode, sealInode } from "#ext4/inode.ts";
import { makeSuperblock } from "#ext4/superblock.ts";
import { setFileSize, writeAt } from "#ext4/write/output.ts";
import { backupGroups, type EmptyGeometry, leadBlocks, makeGroups } from "./groups.ts";
import { makeJournalSuperblock } from "./journal.ts";

export interface EmptyOptions {
  /** 8 MiB to 16 TiB; rounded down to whole blocks. */
  size_bytes: number;
  /** The UUID and the hash seed derive from it. */
  seed: string;
  /** At most 16 bytes. */
  label?: string;
}

export const EMPTY_MIN_BYTES = 8 * MiB;
export const EMPTY_MAX_BYTES = 16 * 1024 * GiB;

const LOST_FOUND_BLOCKS = 4;
/** A last group smaller than its metadata and this many blocks is left out. */
const LAST_GROUP_MIN_BLOCKS = 64;
/** Of descriptors in the backup that is written: up to 1 TiB. */
const BACKUP_MAX_BLOCKS = 128;
/** File systems from this size on get fewer inodes, as they hold larger files. */
const LARGE_BYTES = 1024 * GiB;
const SMALL_BYTES = GiB;

interface Layout extends EmptyGeometry {
  journalBlocks: number;
  /** First blocks of what group 0 holds. */
  bitmaps: number;
  table: number;
  root: number;
  lostFound: number;
  journal: number;
  end: number;
}

/**
 * Makes the file, which must not exist, by writing it beside its place: journal, metadata checksums,
 * lost+found, and inode tables that the kernel need not initialise. `already_exists`, `no_space`.
 */
export async function formatEmpty(path: string, options: EmptyOptions): Promise<void> {
  checkSize(options.size_bytes);
  if (existsSync(path)) {
    throw new BangerError("already_exists", `Cannot create disk "${path}": the file exists`, {
      hint: "Remove it first, or use a different path",
    });
  }
  if (!existsSync(dirname(path))) {
    throw new BangerError("not_found", `Cannot create disk "${path}": no such directory`);
  }
  const staging = stagingPath(path);
  try {
    const fd = openSync(staging, "wx", 0o600);
    try {
      writeEmpty(fd, options);
    } finally {
      closeSync(fd);
    }
    renameSync(staging, path);
  } catch (error) {
    rmSync(staging, { force: true });
    if (errnoOf(error) === "EFBIG") {
      throw new BangerError(
        "unsupported",
        `Cannot create a disk of ${formatSize(options.size_bytes)}: too large for the file system of "${path}"`,
        { hint: "Use a smaller disk", cause: error },
      );
    }
    throw toBangerError(error);
  }
}

function checkSize(size_bytes: number): void {
  const isValid =
    Number.isSafeInteger(size_bytes) &&
    size_bytes >= EMPTY_MIN_BYTES &&
    size_bytes <= EMPTY_MAX_BYTES;
  if (isValid) return;
  throw new BangerError(
    "invalid_argument",
    `invalid disk size ${formatSize(size_bytes)}: must be between ${formatSize(EMPTY_MIN_BYTES)} and ${formatSize(EMPTY_MAX_BYTES)}`,
  );
}

function writeEmpty(fd: number, options: EmptyOptions): void {
  const identity = identityOf(options.seed);
  const layout = plan(options.size_bytes);
  setFileSize(fd, options.size_bytes);
  writeDirectories(fd, layout, identity);
  const journalExtents = writeInodes(fd, layout, identity);
  writeAt(
    fd,
    makeJournalSuperblock(layout.journalBlocks, identity.uuid),
    layout.journal * BLOCK_BYTES,
  );
  const groups = makeGroups({ geometry: layout, identity, firstUsed: layout.end });
  for (const [block, bitmap] of groups.bitmaps) writeAt(fd, bitmap, block * BLOCK_BYTES);
  const inodes = layout.groups * layout.inodesPerGroup;
  const fields = {
    identity,
    label: options.label,
    blocks: layout.blocks,
    freeBlocks: groups.freeBlocks,
    inodes,
    freeInodes: inodes - FIRST_INODE,
    inodesPerGroup: layout.inodesPerGroup,
    journal: { extents: journalExtents, size_bytes: layout.journalBlocks * BLOCK_BYTES },
    hasBackups: true,
  };
  writeAt(fd, groups.descriptors, BLOCK_BYTES);
  writeAt(fd, makeSuperblock(fields), superblock.OFFSET);
  // Linux checks every copy of the superblock on the first mount for writing.
  for (const group of backupGroups(layout.groups - 1)) {
    writeAt(fd, makeSuperblock(fields, group), group * BLOCKS_PER_GROUP * BLOCK_BYTES);
  }
  if (layout.groups > 1 && layout.descriptorBlocks <= BACKUP_MAX_BLOCKS) {
    // Descriptors only in the copy that a repair looks for first; those of the others stay holes.
    writeAt(fd, groups.descriptors, (BLOCKS_PER_GROUP + 1) * BLOCK_BYTES);
  }
}

function plan(size_bytes: number): Layout {
  let blocks = Math.floor(size_bytes / BLOCK_BYTES);
  let groups = Math.ceil(blocks / BLOCKS_PER_GROUP);
  const descriptorBlocks = Math.ceil(groups / GROUPS_PER_DESCRIPTOR_BLOCK);
  const groupBytes = Math.min(blocks, BLOCKS_PER_GROUP) * BLOCK_BYTES;
  const ratio = size_bytes < SMALL_BYTES ? 8 * KiB : size_bytes < LARGE_BYTES ? 16 * KiB : 64 * KiB;
  const tableBlocks = Math.ceil(groupBytes / ratio / INODES_PER_BLOCK);
  const inodesPerGroup = tableBlocks * INODES_PER_BLOCK;
  const geometry = { blocks, groups, descriptorBlocks, inodesPerGroup, tableBlocks };
  const last = groups - 1;
  const lastLength = blocks - last * BLOCKS_PER_GROUP;
  const lastNeed = leadBlocks(geometry, last) + 2 + tableBlocks + LAST_GROUP_MIN_BLOCKS;
  if (last > 0 && lastLength < lastNeed) {
    groups = last;
    blocks = last * BLOCKS_PER_GROUP;
  }
  const bitmaps = 1 + descriptorBlocks;
  const table = bitmaps + 2;
  const root = table + tableBlocks;
  const lostFound = root + 1;
  const journal = lostFound + LOST_FOUND_BLOCKS;
  const journalBlocks = journalLength(blocks);
  return {
    ...geometry,
    blocks,
    groups,
    bitmaps,
    table,
    root,
    lostFound,
    journal,
    journalBlocks,
    end: journal + journalBlocks,
  };
}

/**
 * 4 to 64 MiB, about what mke2fs takes up to 16 GiB. Not more for larger disks: the journal is the
 * part of a sparse disk that comes to be allocated whole.
 */
function journalLength(blocks: number): number {
  if (blocks < 32_768) return 1024;
  if (blocks < 262_144) return 4096;
  if (blocks < 524_288) return 8192;
  return 16_384;
}

function writeDirectories(fd: number, layout: Layout, identity: Identity): void {
  const bytes = new Uint8Array((1 + LOST_FOUND_BLOCKS) * BLOCK_BYTES);
  let next = 0;
  const nextBlock = (): Uint8Array => {
    next += BLOCK_BYTES;
    return bytes.subarray(next - BLOCK_BYTES, next);
  };
  const name = new TextEncoder().encode("lost+found");
  const context = (inode: number) => ({
    hashSeed: identity.hashSeed,
    seed: inodeSeed(identity.checksumSeed, inode),
    nextBlock,
  });
  const entries = { name: () => name, inodeOf: () => FIRST_INODE, typeOf: () => modes.DIRECTORY };
  writeDirectory(
    { ...entries, inode: ROOT_INODE, parentInode: ROOT_INODE, count: 1 },
    context(ROOT_INODE),
  );
  writeDirectory(
    { ...entries, inode: FIRST_INODE, parentInode: ROOT_INODE, count: 0 },
    context(FIRST_INODE),
  );
  for (let block = 1; block < LOST_FOUND_BLOCKS; block++) writeEmptyBlock(context(FIRST_INODE));
  writeAt(fd, bytes, layout.root * BLOCK_BYTES);
}

/** Gives the journal's extents, which the superblock repeats. */
function writeInodes(fd: number, layout: Layout, identity: Identity): Uint8Array {
  const table = new Uint8Array(BLOCK_BYTES);
  const put = (
    number: number,
    file: { mode: number; links: number; start: number; blocks: number },
  ) => {
    const bytes = table.subarray((number - 1) * INODE_BYTES, number * INODE_BYTES);
    const seed = inodeSeed(identity.checksumSeed, number);
    const extents = bytes.subarray(inodeAt.BLOCK, inodeAt.BLOCK + inodeAt.BLOCK_BYTES);
    putExtentTree(extents, [{ logical: 0, physical: file.start, count: file.blocks }], {
      seed,
      nextBlock: () => {
        fail("the first files have one extent");
      },
    });
    putInode(bytes, {
      ...file,
      uid: 0,
      gid: 0,
      size: file.blocks * BLOCK_BYTES,
      mtime_s: 0,
      mtime_ns: 0,
      flags: INODE_FLAG_EXTENTS,
      xattrBlock: 0,
    });
    sealInode(bytes, seed);
    return extents;
  };
  put(ROOT_INODE, { mode: modes.DIRECTORY | 0o755, links: 3, start: layout.root, blocks: 1 });
  put(FIRST_INODE, {
    mode: modes.DIRECTORY | 0o700,
    links: 2,
    start: layout.lostFound,
    blocks: LOST_FOUND_BLOCKS,
  });
  const journal = put(JOURNAL_INODE, {
    mode: modes.REGULAR | 0o600,
    links: 1,
    start: layout.journal,
    blocks: layout.journalBlocks,
  });
  writeAt(fd, table, layout.table * BLOCK_BYTES);
  return journal;
}
