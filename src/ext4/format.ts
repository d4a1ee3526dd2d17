/**
 * The ext4 on-disk format as tables: offsets, limits and flags, no logic. Everything is little-endian.
 * Source: "ext4 Data Structures and Algorithms" in the Linux kernel's documentation (Documentation/filesystems/ext4),
 * and fs/ext4/ext4.h for the rest.
 */

/** The one block size that banger writes. */
export const BLOCK_BYTES = 4096;
/** A block bitmap is one block, so a group has as many blocks as a block has bits. */
export const BLOCKS_PER_GROUP = 8 * BLOCK_BYTES;
export const INODE_BYTES = 256;
export const INODES_PER_BLOCK = BLOCK_BYTES / INODE_BYTES;
/** An inode bitmap is one block as well. */
export const INODES_PER_GROUP_MAX = 8 * BLOCK_BYTES;
export const GROUP_DESCRIPTOR_BYTES = 64;
export const GROUPS_PER_DESCRIPTOR_BLOCK = BLOCK_BYTES / GROUP_DESCRIPTOR_BYTES;
export const NAME_MAX_BYTES = 255;
/** PATH_MAX without its zero byte; a symbolic link's target also has to fit one block. */
export const SYMLINK_MAX_BYTES = 4095;
/** Shorter targets live in the inode itself. */
export const FAST_SYMLINK_END_BYTES = 60;
/** EXT4_LINK_MAX; a directory with more shows 1 (the dir_nlink feature). */
export const LINKS_MAX = 65_000;
/** 2^32 - 1 blocks: the last block number of a file is reserved. */
export const FILE_MAX_BYTES = (2 ** 32 - 1) * BLOCK_BYTES;

export const ROOT_INODE = 2;
export const JOURNAL_INODE = 8;
export const FIRST_INODE = 11;

export const superblock = {
  OFFSET: 1024,
  BYTES: 1024,
  MAGIC: 0xef53,
  INODES_COUNT: 0,
  BLOCKS_COUNT_LO: 4,
  FREE_BLOCKS_LO: 12,
  FREE_INODES: 16,
  FIRST_DATA_BLOCK: 20,
  LOG_BLOCK_SIZE: 24,
  LOG_CLUSTER_SIZE: 28,
  BLOCKS_PER_GROUP: 32,
  CLUSTERS_PER_GROUP: 36,
  INODES_PER_GROUP: 40,
  MAX_MOUNT_COUNT: 54,
  MAGIC_AT: 56,
  STATE: 58,
  ERRORS: 60,
  REVISION: 76,
  FIRST_INODE: 84,
  INODE_SIZE: 88,
  BLOCK_GROUP_NUMBER: 90,
  FEATURE_COMPAT: 92,
  FEATURE_INCOMPAT: 96,
  FEATURE_RO_COMPAT: 100,
  UUID: 104,
  LABEL: 120,
  LABEL_BYTES: 16,
  JOURNAL_INODE: 224,
  HASH_SEED: 236,
  HASH_VERSION: 252,
  JOURNAL_BACKUP_TYPE: 253,
  DESCRIPTOR_SIZE: 254,
  DEFAULT_MOUNT_OPTIONS: 256,
  FIRST_META_GROUP: 260,
  JOURNAL_BACKUP: 268,
  BLOCKS_COUNT_HI: 336,
  FREE_BLOCKS_HI: 344,
  MIN_EXTRA_ISIZE: 348,
  WANT_EXTRA_ISIZE: 350,
  FLAGS: 352,
  LOG_GROUPS_PER_FLEX: 372,
  CHECKSUM_TYPE: 373,
  CHECKSUM_SEED: 624,
  CHECKSUM: 1020,
} as const;

/** Superblock s_flags: names are hashed as unsigned bytes. */
export const FLAG_UNSIGNED_HASH = 2;
export const CHECKSUM_TYPE_CRC32C = 1;
export const HASH_HALF_MD4 = 1;
export const STATE_CLEAN = 1;
export const ERRORS_CONTINUE = 1;
export const ERRORS_READ_ONLY = 2;
/** user_xattr and acl. */
export const MOUNT_OPTIONS_DEFAULT = 0x0c;

export const compat = {
  HAS_JOURNAL: 0x4,
  EXT_ATTR: 0x8,
  DIR_INDEX: 0x20,
  /** Backup superblocks only in the two groups that the superblock names; none if it names none. */
  SPARSE_SUPER2: 0x200,
} as const;

export const incompat = {
  FILETYPE: 0x2,
  RECOVER: 0x4,
  META_BG: 0x10,
  EXTENTS: 0x40,
  BIT64: 0x80,
  FLEX_BG: 0x200,
  EA_INODE: 0x400,
  CSUM_SEED: 0x2000,
  LARGEDIR: 0x4000,
  INLINE_DATA: 0x8000,
  ENCRYPT: 0x10000,
  CASEFOLD: 0x20000,
} as const;

export const roCompat = {
  SPARSE_SUPER: 0x1,
  LARGE_FILE: 0x2,
  HUGE_FILE: 0x8,
  DIR_NLINK: 0x20,
  EXTRA_ISIZE: 0x40,
  BIGALLOC: 0x200,
  METADATA_CSUM: 0x400,
} as const;

export const group = {
  BLOCK_BITMAP_LO: 0,
  INODE_BITMAP_LO: 4,
  INODE_TABLE_LO: 8,
  FREE_BLOCKS_LO: 12,
  FREE_INODES_LO: 14,
  USED_DIRECTORIES_LO: 16,
  FLAGS: 18,
  BLOCK_BITMAP_CSUM_LO: 24,
  INODE_BITMAP_CSUM_LO: 26,
  UNUSED_INODES_LO: 28,
  CHECKSUM: 30,
  BLOCK_BITMAP_HI: 32,
  INODE_BITMAP_HI: 36,
  INODE_TABLE_HI: 40,
  FREE_BLOCKS_HI: 44,
  FREE_INODES_HI: 46,
  USED_DIRECTORIES_HI: 48,
  UNUSED_INODES_HI: 50,
  BLOCK_BITMAP_CSUM_HI: 56,
  INODE_BITMAP_CSUM_HI: 58,
} as const;

/** Group flags: the bitmap need not be read, it follows from the descriptor. */
export const GROUP_INODE_UNINIT = 1;
export const GROUP_BLOCK_UNINIT = 2;
/** The inode table is known to be zero, so the kernel's background initialisation skips it. */
export const GROUP_INODES_ZEROED = 4;

export const inode = {
  MODE: 0,
  UID_LO: 2,
  SIZE_LO: 4,
  ATIME: 8,
  CTIME: 12,
  MTIME: 16,
  GID_LO: 24,
  LINKS: 26,
  SECTORS_LO: 28,
  FLAGS: 32,
  /** Of an attribute's inode: how many entries name it. */
  VERSION: 36,
  BLOCK: 40,
  BLOCK_BYTES: 60,
  GENERATION: 100,
  XATTR_BLOCK_LO: 104,
  SIZE_HI: 108,
  SECTORS_HI: 116,
  XATTR_BLOCK_HI: 118,
  UID_HI: 120,
  GID_HI: 122,
  CHECKSUM_LO: 124,
  EXTRA_ISIZE: 128,
  CHECKSUM_HI: 130,
  CTIME_EXTRA: 132,
  MTIME_EXTRA: 136,
  ATIME_EXTRA: 140,
  CRTIME: 144,
  CRTIME_EXTRA: 148,
} as const;

export const INODE_BASE_BYTES = 128;
/** Bytes of the inode after the first 128 that are fields; extended attributes follow. */
export const EXTRA_ISIZE = 32;

export const INODE_FLAG_INDEX = 0x1000;
export const INODE_FLAG_HUGE_FILE = 0x40000;
export const INODE_FLAG_EXTENTS = 0x80000;
export const INODE_FLAG_INLINE_DATA = 0x10000000;
/** It holds the value of an extended attribute, and no directory names it. */
export const INODE_FLAG_EA_INODE = 0x200000;

/** File type bits of a mode. */
export const modes = {
  TYPE_MASK: 0xf000,
  FIFO: 0x1000,
  CHARACTER: 0x2000,
  DIRECTORY: 0x4000,
  BLOCK: 0x6000,
  REGULAR: 0x8000,
  SYMLINK: 0xa000,
  SOCKET: 0xc000,
} as const;

/** The type byte of a directory entry. */
export const entryTypes: Readonly<Record<number, number>> = {
  [modes.REGULAR]: 1,
  [modes.DIRECTORY]: 2,
  [modes.CHARACTER]: 3,
  [modes.BLOCK]: 4,
  [modes.FIFO]: 5,
  [modes.SOCKET]: 6,
  [modes.SYMLINK]: 7,
};
export const ENTRY_TYPE_CHECKSUM = 0xde;
/** The false entry at the end of a directory block that holds its checksum. */
export const ENTRY_TAIL_BYTES = 12;

export const extent = {
  MAGIC: 0xf30a,
  HEADER_BYTES: 12,
  ENTRY_BYTES: 12,
  /** Longest initialised extent; more marks it as unwritten. */
  BLOCKS_MAX: 32_768,
  INLINE_MAX: 4,
  PER_BLOCK: 340,
  DEPTH_MAX: 5,
} as const;

export const xattr = {
  MAGIC: 0xea020000,
  BLOCK_HEADER_BYTES: 32,
  ENTRY_BYTES: 16,
  /** Room inside an inode after its magic. */
  INLINE_BYTES: INODE_BYTES - INODE_BASE_BYTES - EXTRA_ISIZE - 4,
} as const;
