/** Reads a superblock and validates it. Source: Documentation/filesystems/ext4 ("Super Block"). */
import { BangerError } from "#base/error.ts";
import { get16, get32 } from "#ext4/bytes.ts";
import { crc32c } from "#ext4/crc32c.ts";
import { superblock as at, compat, incompat, roCompat } from "#ext4/format.ts";

export interface Ext4Info {
  /** 32 hex digits in the usual groups. */
  uuid: string;
  label: string;
  size_bytes: number;
  free_bytes: number;
  blockSize: number;
  inodes: number;
  freeInodes: number;
  hasJournal: boolean;
  /** It was not unmounted: what the journal still holds is not seen. */
  needsRecovery: boolean;
}

/** What the parts of the reader share. */
export interface Volume {
  readonly blockSize: number;
  readonly blocks: number;
  readonly hasChecksums: boolean;
  readonly checksumSeed: number;
  /** The whole block; `integrity` when there is no such block. */
  block(number: number): Uint8Array;
}

const INCOMPAT_READABLE =
  incompat.FILETYPE |
  incompat.RECOVER |
  incompat.EXTENTS |
  incompat.BIT64 |
  incompat.FLEX_BG |
  incompat.EA_INODE |
  incompat.CSUM_SEED |
  incompat.LARGEDIR |
  incompat.INLINE_DATA |
  incompat.ENCRYPT |
  incompat.CASEFOLD;
const BLOCK_LOG_MAX = 6;
export interface Geometry {
  blockSize: number;
  blocks: number;
  inodes: number;
  inodesPerGroup: number;
  inodeSize: number;
  descriptorSize: number;
  firstDataBlock: number;
  hasChecksums: boolean;
  checksumSeed: number;
}

/** `file.size` in bytes, `file.path` for messages. */
export function parseGeometry(bytes: Uint8Array, file: { path: string; size: number }): Geometry {
  const refuse = (problem: string): never => {
    throw new BangerError("integrity", `Cannot read ext4 image "${file.path}": ${problem}`);
  };
  if (get16(bytes, at.MAGIC_AT) !== at.MAGIC) refuse("not an ext4 file system");
  const features = get32(bytes, at.FEATURE_INCOMPAT);
  if (features & ~INCOMPAT_READABLE) {
    throw new BangerError(
      "unsupported",
      `Cannot read ext4 image "${file.path}": unsupported features (0x${(features & ~INCOMPAT_READABLE).toString(16)})`,
    );
  }
  const log = get32(bytes, at.LOG_BLOCK_SIZE);
  if (log > BLOCK_LOG_MAX) refuse("invalid block size");
  const blockSize = 1024 << log;
  const isLarge = (features & incompat.BIT64) !== 0;
  const blocks =
    get32(bytes, at.BLOCKS_COUNT_LO) + (isLarge ? get32(bytes, at.BLOCKS_COUNT_HI) : 0) * 2 ** 32;
  if (blocks * blockSize > file.size) refuse("file system larger than its file");
  const hasChecksums = (get32(bytes, at.FEATURE_RO_COMPAT) & roCompat.METADATA_CSUM) !== 0;
  if (hasChecksums && crc32c(~0, bytes, 0, at.CHECKSUM) !== get32(bytes, at.CHECKSUM)) {
    refuse("superblock checksum mismatch");
  }
  const inodeSize = get32(bytes, at.REVISION) === 0 ? 128 : get16(bytes, at.INODE_SIZE);
  const isPower = inodeSize >= 128 && (inodeSize & (inodeSize - 1)) === 0;
  if (!isPower || inodeSize > blockSize) refuse("invalid inode size");
  const inodesPerGroup = get32(bytes, at.INODES_PER_GROUP);
  const blocksPerGroup = get32(bytes, at.BLOCKS_PER_GROUP);
  if (inodesPerGroup === 0 || blocksPerGroup === 0) refuse("empty block groups");
  const descriptorSize = isLarge ? get16(bytes, at.DESCRIPTOR_SIZE) : 32;
  if (descriptorSize < 32 || descriptorSize > 1024) refuse("invalid group descriptor size");
  const firstDataBlock = get32(bytes, at.FIRST_DATA_BLOCK);
  const groups = Math.ceil((blocks - firstDataBlock) / blocksPerGroup);
  const inodes = get32(bytes, at.INODES_COUNT);
  if (firstDataBlock > 1 || inodes > groups * inodesPerGroup) refuse("too many inodes");
  const seed =
    features & incompat.CSUM_SEED
      ? get32(bytes, at.CHECKSUM_SEED)
      : crc32c(~0, bytes, at.UUID, at.UUID + 16);
  return {
    blockSize,
    blocks,
    inodes,
    inodesPerGroup,
    inodeSize,
    descriptorSize,
    firstDataBlock,
    hasChecksums,
    checksumSeed: seed,
  };
}

export function parseInfo(bytes: Uint8Array, geometry: Geometry): Ext4Info {
  const hex = Buffer.from(bytes.subarray(at.UUID, at.UUID + 16)).toString("hex");
  const label = bytes.subarray(at.LABEL, at.LABEL + at.LABEL_BYTES);
  const free = get32(bytes, at.FREE_BLOCKS_LO) + get32(bytes, at.FREE_BLOCKS_HI) * 2 ** 32;
  return {
    uuid: hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5"),
    label: new TextDecoder().decode(label).replace(/\0.*$/s, ""),
    size_bytes: geometry.blocks * geometry.blockSize,
    free_bytes: free * geometry.blockSize,
    blockSize: geometry.blockSize,
    inodes: geometry.inodes,
    freeInodes: get32(bytes, at.FREE_INODES),
    hasJournal: (get32(bytes, at.FEATURE_COMPAT) & compat.HAS_JOURNAL) !== 0,
    needsRecovery: (get32(bytes, at.FEATURE_INCOMPAT) & incompat.RECOVER) !== 0,
  };
}
