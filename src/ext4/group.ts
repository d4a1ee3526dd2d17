/** Block group descriptors. Source: Documentation/filesystems/ext4 ("Block Group Descriptors"). */
import { high32, put16, put32 } from "./bytes.ts";
import { crc32c, crc32cWord } from "./crc32c.ts";
import { group as at, GROUP_DESCRIPTOR_BYTES } from "./format.ts";

export interface GroupFields {
  blockBitmap: number;
  inodeBitmap: number;
  inodeTable: number;
  freeBlocks: number;
  freeInodes: number;
  directories: number;
  /** Inodes at the end of the table that were never used. */
  unusedInodes: number;
  /** GROUP_INODE_UNINIT and its like. */
  flags: number;
  /** Checksums of the bitmaps on disk; 0 for one that is not written. */
  blockBitmapChecksum: number;
  inodeBitmapChecksum: number;
}

/** Fills 64 zeroed bytes, the checksum left out. */
export function putGroup(bytes: Uint8Array, fields: GroupFields): void {
  put32(bytes, at.BLOCK_BITMAP_LO, fields.blockBitmap);
  put32(bytes, at.BLOCK_BITMAP_HI, high32(fields.blockBitmap));
  put32(bytes, at.INODE_BITMAP_LO, fields.inodeBitmap);
  put32(bytes, at.INODE_BITMAP_HI, high32(fields.inodeBitmap));
  put32(bytes, at.INODE_TABLE_LO, fields.inodeTable);
  put32(bytes, at.INODE_TABLE_HI, high32(fields.inodeTable));
  put16(bytes, at.FREE_BLOCKS_LO, fields.freeBlocks);
  put16(bytes, at.FREE_BLOCKS_HI, fields.freeBlocks >>> 16);
  put16(bytes, at.FREE_INODES_LO, fields.freeInodes);
  put16(bytes, at.FREE_INODES_HI, fields.freeInodes >>> 16);
  put16(bytes, at.USED_DIRECTORIES_LO, fields.directories);
  put16(bytes, at.USED_DIRECTORIES_HI, fields.directories >>> 16);
  put16(bytes, at.FLAGS, fields.flags);
  put16(bytes, at.BLOCK_BITMAP_CSUM_LO, fields.blockBitmapChecksum);
  put16(bytes, at.BLOCK_BITMAP_CSUM_HI, fields.blockBitmapChecksum >>> 16);
  put16(bytes, at.INODE_BITMAP_CSUM_LO, fields.inodeBitmapChecksum);
  put16(bytes, at.INODE_BITMAP_CSUM_HI, fields.inodeBitmapChecksum >>> 16);
  put16(bytes, at.UNUSED_INODES_LO, fields.unusedInodes);
  put16(bytes, at.UNUSED_INODES_HI, fields.unusedInodes >>> 16);
}

/** Sets the checksum of a descriptor whose checksum field is zero. */
export function sealGroup(bytes: Uint8Array, number: number, checksumSeed: number): void {
  put16(bytes, at.CHECKSUM, groupChecksum(bytes, number, checksumSeed));
}

/** Over the descriptor's 64 bytes with a checksum field of zero. */
export function groupChecksum(bytes: Uint8Array, number: number, checksumSeed: number): number {
  return crc32c(crc32cWord(checksumSeed, number), bytes, 0, GROUP_DESCRIPTOR_BYTES) & 0xffff;
}
