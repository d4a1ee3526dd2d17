/** Extended attributes read back, with their namespaces. */
import { BangerError } from "#base/error.ts";
import type { Xattr } from "./attributes.ts";
import { get16, get32 } from "./bytes.ts";
import { xattr as format } from "./format.ts";
import type { Volume } from "./reader-superblock.ts";
import { aclFromDisk, blockChecksum, xattrNamespaces } from "./xattr.ts";

/** Of the room behind an inode's fields, which may hold none. */
export function parseXattrs(room: Uint8Array): Xattr[] {
  if (room.length < 8 || get32(room, 0) !== format.MAGIC) return [];
  return parseEntries(room.subarray(4), 0);
}

export function parseXattrBlock(number: number, volume: Volume): Xattr[] {
  const block = volume.block(number);
  if (get32(block, 0) !== format.MAGIC) throw damaged();
  if (volume.hasChecksums) {
    const stored = get32(block, 16);
    block.fill(0, 16, 20);
    if (blockChecksum(block, { number, checksumSeed: volume.checksumSeed }) !== stored) {
      throw damaged();
    }
  }
  return parseEntries(block, format.BLOCK_HEADER_BYTES);
}

/** Values count from the start of `room`; entries from `start`, ended by four zero bytes. */
function parseEntries(room: Uint8Array, start: number): Xattr[] {
  const result: Xattr[] = [];
  let values_bytes = 0;
  let at = start;
  while (at + 4 <= room.length && get32(room, at) !== 0) {
    const nameBytes = room[at] as number;
    const end = at + format.ENTRY_BYTES + nameBytes;
    if (end > room.length) throw damaged();
    const valueAt = get16(room, at + 2);
    const size = get32(room, at + 8);
    if (get32(room, at + 4) !== 0) throw outside();
    if (size > 0 && valueAt + size > room.length) throw damaged();
    // Entries that share a value would make much of little.
    values_bytes += size;
    if (values_bytes > room.length) throw damaged();
    const space = xattrNamespaces.find(({ index }) => index === room[at + 1]);
    const value = room.slice(valueAt, valueAt + size);
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

function outside(): BangerError {
  return new BangerError(
    "unsupported",
    "Cannot read ext4 image: an extended attribute is kept in an inode of its own",
  );
}

function damaged(): BangerError {
  return new BangerError(
    "integrity",
    "Cannot read ext4 image: the extended attributes are damaged",
  );
}
