/** One inode as 256 bytes. Source: Documentation/filesystems/ext4 ("Index Nodes"). */
import { high32, put16, put32 } from "./bytes.ts";
import { crc32c } from "./crc32c.ts";
import { inode as at, EXTRA_ISIZE, INODE_BYTES, LINKS_MAX } from "./format.ts";

export interface InodeFields {
  mode: number;
  uid: number;
  gid: number;
  size: number;
  mtime_s: number;
  mtime_ns: number;
  links: number;
  flags: number;
  /** Blocks that count as the file's: data, index and attribute blocks. */
  blocks: number;
  /** Block number of the attributes that do not fit the inode, 0 for none. */
  xattrBlock: number;
}

const TIME_MIN_S = -(2 ** 31);
const TIME_MAX_S = 2 ** 34 - 2 ** 31 - 1;

/**
 * Fills the fields of an inode. The 60 bytes of `inode.BLOCK` and the attributes are the caller's,
 * before it seals.
 */
export function putInode(bytes: Uint8Array, fields: InodeFields): void {
  put16(bytes, at.MODE, fields.mode);
  put16(bytes, at.UID_LO, fields.uid);
  put16(bytes, at.UID_HI, fields.uid >>> 16);
  put16(bytes, at.GID_LO, fields.gid);
  put16(bytes, at.GID_HI, fields.gid >>> 16);
  put32(bytes, at.SIZE_LO, fields.size);
  put32(bytes, at.SIZE_HI, high32(fields.size));
  put16(bytes, at.LINKS, fields.links > LINKS_MAX ? 1 : fields.links);
  const sectors = fields.blocks * 8;
  put32(bytes, at.SECTORS_LO, sectors);
  put16(bytes, at.SECTORS_HI, high32(sectors));
  put32(bytes, at.FLAGS, fields.flags);
  put32(bytes, at.XATTR_BLOCK_LO, fields.xattrBlock);
  put16(bytes, at.XATTR_BLOCK_HI, high32(fields.xattrBlock));
  put16(bytes, at.EXTRA_ISIZE, EXTRA_ISIZE);
  putTimes(bytes, fields);
}

/** Of an attribute's value: its hash is where a file's time of access is, and the one entry that names it is counted. */
export function putValueFields(bytes: Uint8Array, hash: number): void {
  put32(bytes, at.ATIME, hash);
  put32(bytes, at.VERSION, 1);
}

/** All four times are the entry's one: an image has no other, and the same image stays the same bytes. */
function putTimes(bytes: Uint8Array, fields: InodeFields): void {
  const seconds = Math.min(Math.max(fields.mtime_s, TIME_MIN_S), TIME_MAX_S);
  const extra = ((fields.mtime_ns << 2) | (high32(seconds - (seconds | 0)) & 3)) >>> 0;
  for (const offset of [at.ATIME, at.CTIME, at.MTIME, at.CRTIME]) put32(bytes, offset, seconds);
  for (const offset of [at.ATIME_EXTRA, at.CTIME_EXTRA, at.MTIME_EXTRA, at.CRTIME_EXTRA]) {
    put32(bytes, offset, extra);
  }
}

/** Sets the checksum of a finished inode. `seed` from `inodeSeed`. */
export function sealInode(bytes: Uint8Array, seed: number): void {
  const checksum = crc32c(seed, bytes, 0, INODE_BYTES);
  put16(bytes, at.CHECKSUM_LO, checksum);
  put16(bytes, at.CHECKSUM_HI, checksum >>> 16);
}

/** A device number in the two words of `inode.BLOCK`: the short form where it fits, else the long one. */
export function putDevice(block: Uint8Array, device: number): void {
  const major = device >>> 20;
  const minor = device & 0xfffff;
  if (major < 256 && minor < 256) {
    put32(block, 0, (major << 8) | minor);
  } else {
    put32(block, 4, (minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12));
  }
}
