/** Reads an inode. Source: Documentation/filesystems/ext4 ("Index Nodes"). */
import { BangerError } from "#base/error.ts";
import { get16, get32 } from "#ext4/bytes.ts";
import { crc32c } from "#ext4/crc32c.ts";
import {
  inode as at,
  INODE_BASE_BYTES,
  INODE_FLAG_EXTENTS,
  INODE_FLAG_HUGE_FILE,
  INODE_FLAG_INLINE_DATA,
  modes,
} from "#ext4/format.ts";
import { inodeSeed } from "#ext4/identity.ts";

export interface FileStat {
  inode: number;
  generation: number;
  /** One of `modes`. */
  type: number;
  /** Permission, setuid, setgid and sticky bits. */
  mode: number;
  uid: number;
  gid: number;
  size: number;
  links: number;
  mtime_s: number;
  mtime_ns: number;
  ctime_s: number;
  ctime_ns: number;
  /** Of a device, else 0. */
  major: number;
  minor: number;
  /** On disk, in blocks of the file system; attribute and index blocks count. */
  allocatedBlocks: number;
  flags: number;
  /** The 60 bytes that map its blocks. */
  map: Uint8Array;
  /** The target of a symbolic link that needs no block. */
  fastTarget: Uint8Array | undefined;
  /** Whether its content is kept in the inode itself, in `map` and beyond. */
  isInline: boolean;
  /** The room for attributes behind the fields. */
  xattrRoom: Uint8Array;
  /** Block number of more attributes, 0 for none. */
  xattrBlock: number;
}

/** Throws `integrity` when the checksum is wrong. */
export function checkInode(bytes: Uint8Array, number: number, checksumSeed: number): void {
  const copy = bytes.slice();
  const hasHigh = bytes.length > INODE_BASE_BYTES && get16(bytes, at.EXTRA_ISIZE) >= 4;
  const stored =
    get16(bytes, at.CHECKSUM_LO) + (hasHigh ? get16(bytes, at.CHECKSUM_HI) * 65_536 : 0);
  copy.fill(0, at.CHECKSUM_LO, at.CHECKSUM_LO + 2);
  if (hasHigh) copy.fill(0, at.CHECKSUM_HI, at.CHECKSUM_HI + 2);
  const actual = crc32c(inodeSeed(checksumSeed, number, get32(bytes, at.GENERATION)), copy);
  if ((hasHigh ? actual : actual & 0xffff) === stored) return;
  throw new BangerError(
    "integrity",
    `Cannot read ext4 image: checksum mismatch in inode ${number}`,
  );
}

export function parseInode(bytes: Uint8Array, number: number, blockSize: number): FileStat {
  const mode = get16(bytes, at.MODE);
  const type = mode & modes.TYPE_MASK;
  const flags = get32(bytes, at.FLAGS);
  const hasSize = type === modes.REGULAR || type === modes.DIRECTORY;
  const size = get32(bytes, at.SIZE_LO) + (hasSize ? get32(bytes, at.SIZE_HI) * 2 ** 32 : 0);
  if (!Number.isSafeInteger(size)) throw damaged(`invalid size of inode ${number}`);
  const extra = bytes.length > INODE_BASE_BYTES ? get16(bytes, at.EXTRA_ISIZE) : 0;
  if (INODE_BASE_BYTES + extra > bytes.length) throw damaged(`invalid fields in inode ${number}`);
  const map = bytes.subarray(at.BLOCK, at.BLOCK + at.BLOCK_BYTES);
  const xattrBlock = get32(bytes, at.XATTR_BLOCK_LO) + get16(bytes, at.XATTR_BLOCK_HI) * 2 ** 32;
  const sectors = get32(bytes, at.SECTORS_LO) + get16(bytes, at.SECTORS_HI) * 2 ** 32;
  const perBlock = flags & INODE_FLAG_HUGE_FILE ? 1 : blockSize / 512;
  const isInline = (flags & INODE_FLAG_INLINE_DATA) !== 0;
  const dataBlocks = sectors / perBlock - (xattrBlock === 0 ? 0 : 1);
  // Blocks of attributes with inodes of their own count as well, so that the number alone does not tell.
  const isMapped = dataBlocks > 0 && (flags & INODE_FLAG_EXTENTS) !== 0;
  const isShort = dataBlocks <= 0 || isInline || (!isMapped && size < map.length);
  const isFast = type === modes.SYMLINK && isShort && size <= map.length;
  return {
    inode: number,
    generation: get32(bytes, at.GENERATION),
    type,
    mode: mode & 0o7777,
    uid: get16(bytes, 2) + get16(bytes, at.UID_HI) * 65_536,
    gid: get16(bytes, at.GID_LO) + get16(bytes, at.GID_HI) * 65_536,
    size,
    links: get16(bytes, at.LINKS),
    ...time(bytes, { seconds: at.MTIME, extra: extra >= 12 ? at.MTIME_EXTRA : 0, name: "mtime" }),
    ...time(bytes, { seconds: at.CTIME, extra: extra >= 8 ? at.CTIME_EXTRA : 0, name: "ctime" }),
    ...device(type, map),
    allocatedBlocks: sectors / perBlock,
    flags,
    map,
    fastTarget: isFast ? map.subarray(0, size) : undefined,
    isInline,
    xattrRoom: bytes.subarray(INODE_BASE_BYTES + extra),
    xattrBlock,
  } as FileStat;
}

function time(
  bytes: Uint8Array,
  place: { seconds: number; extra: number; name: "mtime" | "ctime" },
): Record<string, number> {
  const extra = place.extra === 0 ? 0 : get32(bytes, place.extra);
  const seconds = (get32(bytes, place.seconds) | 0) + (extra & 3) * 2 ** 32;
  return { [`${place.name}_s`]: seconds, [`${place.name}_ns`]: extra >>> 2 };
}

function device(type: number, map: Uint8Array): { major: number; minor: number } {
  if (type !== modes.CHARACTER && type !== modes.BLOCK) return { major: 0, minor: 0 };
  const short = get32(map, 0);
  if (short !== 0) return { major: (short >>> 8) & 0xff, minor: short & 0xff };
  const long = get32(map, 4);
  return { major: (long >>> 8) & 0xfff, minor: (long & 0xff) | ((long >>> 12) & 0xfff00) };
}

function damaged(problem: string): BangerError {
  return new BangerError("integrity", `Cannot read ext4 image: ${problem}`);
}
