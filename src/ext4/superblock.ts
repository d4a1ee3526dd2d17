/** The superblock as 1024 bytes. Source: Documentation/filesystems/ext4 ("Super Block"). */
import { high32, put16, put32 } from "./bytes.ts";
import { crc32c } from "./crc32c.ts";
import {
  superblock as at,
  BLOCKS_PER_GROUP,
  CHECKSUM_TYPE_CRC32C,
  compat,
  ERRORS_CONTINUE,
  ERRORS_READ_ONLY,
  EXTRA_ISIZE,
  FIRST_INODE,
  FLAG_UNSIGNED_HASH,
  GROUP_DESCRIPTOR_BYTES,
  HASH_HALF_MD4,
  INODE_BYTES,
  incompat,
  JOURNAL_INODE,
  MOUNT_OPTIONS_DEFAULT,
  roCompat,
  STATE_CLEAN,
} from "./format.ts";
import type { Identity } from "./identity.ts";

export interface SuperblockFields {
  identity: Identity;
  /** At most 16 bytes of UTF-8. */
  label?: string | undefined;
  blocks: number;
  freeBlocks: number;
  inodes: number;
  freeInodes: number;
  inodesPerGroup: number;
  /** Some values of attributes have inodes of their own. */
  hasValueInodes?: boolean;
  /** The journal inode's 60 bytes of extents and its size; without it the file system has no journal. */
  journal?: { extents: Uint8Array; size_bytes: number };
  /** Ordinary backups in groups 1 and the powers of 3, 5 and 7; without it there are none. */
  hasBackups: boolean;
}

/** `group`: the block group that this copy stands in. */
export function makeSuperblock(fields: SuperblockFields, group = 0): Uint8Array {
  const bytes = new Uint8Array(at.BYTES);
  putGeometry(bytes, fields);
  put32(
    bytes,
    at.FEATURE_COMPAT,
    compat.EXT_ATTR |
      compat.DIR_INDEX |
      (fields.journal ? compat.HAS_JOURNAL : 0) |
      (fields.hasBackups ? 0 : compat.SPARSE_SUPER2),
  );
  put32(
    bytes,
    at.FEATURE_INCOMPAT,
    incompat.FILETYPE |
      incompat.EXTENTS |
      incompat.BIT64 |
      incompat.FLEX_BG |
      (fields.hasValueInodes ? incompat.EA_INODE : 0),
  );
  put32(
    bytes,
    at.FEATURE_RO_COMPAT,
    roCompat.LARGE_FILE |
      roCompat.HUGE_FILE |
      roCompat.DIR_NLINK |
      roCompat.EXTRA_ISIZE |
      roCompat.METADATA_CSUM |
      (fields.hasBackups ? roCompat.SPARSE_SUPER : 0),
  );
  bytes.set(fields.identity.uuid, at.UUID);
  bytes.set(new TextEncoder().encode(fields.label ?? "").subarray(0, at.LABEL_BYTES), at.LABEL);
  for (const [word, value] of fields.identity.hashSeed.entries()) {
    put32(bytes, at.HASH_SEED + 4 * word, value);
  }
  bytes[at.HASH_VERSION] = HASH_HALF_MD4;
  put32(bytes, at.FLAGS, FLAG_UNSIGNED_HASH);
  put32(bytes, at.DEFAULT_MOUNT_OPTIONS, MOUNT_OPTIONS_DEFAULT);
  if (fields.journal) putJournal(bytes, fields.journal);
  put16(bytes, at.BLOCK_GROUP_NUMBER, group);
  bytes[at.CHECKSUM_TYPE] = CHECKSUM_TYPE_CRC32C;
  put32(bytes, at.CHECKSUM, crc32c(~0, bytes, 0, at.CHECKSUM));
  return bytes;
}

function putGeometry(bytes: Uint8Array, fields: SuperblockFields): void {
  put32(bytes, at.INODES_COUNT, fields.inodes);
  put32(bytes, at.BLOCKS_COUNT_LO, fields.blocks);
  put32(bytes, at.BLOCKS_COUNT_HI, high32(fields.blocks));
  put32(bytes, at.FREE_BLOCKS_LO, fields.freeBlocks);
  put32(bytes, at.FREE_BLOCKS_HI, high32(fields.freeBlocks));
  put32(bytes, at.FREE_INODES, fields.freeInodes);
  put32(bytes, at.LOG_BLOCK_SIZE, 2);
  put32(bytes, at.LOG_CLUSTER_SIZE, 2);
  put32(bytes, at.BLOCKS_PER_GROUP, BLOCKS_PER_GROUP);
  put32(bytes, at.CLUSTERS_PER_GROUP, BLOCKS_PER_GROUP);
  put32(bytes, at.INODES_PER_GROUP, fields.inodesPerGroup);
  put16(bytes, at.MAX_MOUNT_COUNT, 0xffff);
  put16(bytes, at.MAGIC_AT, at.MAGIC);
  put16(bytes, at.STATE, STATE_CLEAN);
  put16(bytes, at.ERRORS, fields.journal ? ERRORS_READ_ONLY : ERRORS_CONTINUE);
  put32(bytes, at.REVISION, 1);
  put32(bytes, at.FIRST_INODE, FIRST_INODE);
  put16(bytes, at.INODE_SIZE, INODE_BYTES);
  put16(bytes, at.DESCRIPTOR_SIZE, GROUP_DESCRIPTOR_BYTES);
  put16(bytes, at.MIN_EXTRA_ISIZE, EXTRA_ISIZE);
  put16(bytes, at.WANT_EXTRA_ISIZE, EXTRA_ISIZE);
  bytes[at.LOG_GROUPS_PER_FLEX] = 4;
}

/** The journal inode's block map is repeated here, for a checker that cannot read the inode. */
function putJournal(bytes: Uint8Array, journal: { extents: Uint8Array; size_bytes: number }): void {
  put32(bytes, at.JOURNAL_INODE, JOURNAL_INODE);
  bytes[at.JOURNAL_BACKUP_TYPE] = 1;
  bytes.set(journal.extents, at.JOURNAL_BACKUP);
  put32(bytes, at.JOURNAL_BACKUP + 60, high32(journal.size_bytes));
  put32(bytes, at.JOURNAL_BACKUP + 64, journal.size_bytes);
}
