/** Reads extended attributes, with their namespaces. Source: Documentation/filesystems/ext4 ("Extended Attributes"). */
import { BangerError } from "#base/error.ts";
import { KiB } from "#base/size.ts";
import type { Xattr } from "#ext4/attributes.ts";
import { get16, get32 } from "#ext4/bytes.ts";
import { xattr as format } from "#ext4/format.ts";
import { aclFromDisk, blockChecksum, xattrNamespaces } from "#ext4/xattr.ts";
import type { Volume } from "./superblock.ts";

/** Of the values of one file that have inodes of their own. */
const VALUES_MAX_BYTES = 512 * KiB;

/** Gives the value that has inode `inode` of its own. */
export type ReadValue = (inode: number, size: number) => Uint8Array;

/** Of the room behind an inode's fields, which may hold none. */
export function parseXattrs(room: Uint8Array, readValue: ReadValue): Xattr[] {
  if (room.length < 8 || get32(room, 0) !== format.MAGIC) return [];
  return parseEntries(room.subarray(4), 0, readValue);
}

export function parseXattrBlock(number: number, volume: Volume, readValue: ReadValue): Xattr[] {
  const block = volume.block(number);
  if (get32(block, 0) !== format.MAGIC) throw damaged();
  if (volume.hasChecksums) {
    const stored = get32(block, 16);
    block.fill(0, 16, 20);
    if (blockChecksum(block, { number, checksumSeed: volume.checksumSeed }) !== stored) {
      throw damaged();
    }
  }
  return parseEntries(block, format.BLOCK_HEADER_BYTES, readValue);
}

/** Values count from the start of `room`; entries from `start`, ended by four zero bytes. */
function parseEntries(room: Uint8Array, start: number, readValue: ReadValue): Xattr[] {
  const result: Xattr[] = [];
  let inside_bytes = 0;
  let outside_bytes = 0;
  let at = start;
  while (at + 4 <= room.length && get32(room, at) !== 0) {
    const nameBytes = room[at] as number;
    const end = at + format.ENTRY_BYTES + nameBytes;
    if (end > room.length) throw damaged();
    const valueAt = get16(room, at + 2);
    const size = get32(room, at + 8);
    const inode = get32(room, at + 4);
    if (inode === 0 && size > 0 && valueAt + size > room.length) throw damaged();
    // Entries that share a value would make much of little.
    if (inode === 0) inside_bytes += size;
    else outside_bytes += size;
    if (inside_bytes > room.length || outside_bytes > VALUES_MAX_BYTES) throw damaged();
    const space = xattrNamespaces.find(({ index }) => index === room[at + 1]);
    const value = inode === 0 ? room.slice(valueAt, valueAt + size) : readValue(inode, size);
    if (space) {
      result.push({
        name: Buffer.concat([
          Buffer.from(space.prefix),
          room.subarray(at + format.ENTRY_BYTES, end),
        ]),
        value: space.isWhole ? aclFromDisk(value) : value,
      });
    }
    at = (end + 3) & ~3;
  }
  return result;
}

function damaged(): BangerError {
  return new BangerError("integrity", "Cannot read ext4 image: corrupt extended attributes");
}
