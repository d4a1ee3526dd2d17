/**
 * Extended attributes as ext4 stores them: inside the inode when they fit, else in one block.
 * Source: Documentation/filesystems/ext4 ("Extended Attributes"), fs/ext4/xattr.c and acl.h.
 */
import { BangerError } from "#base/error.ts";
import type { Xattr } from "./attributes.ts";
import { get16, get32, put16, put32 } from "./bytes.ts";
import { crc32c, crc32cWord } from "./crc32c.ts";
import { BLOCK_BYTES, xattr as format } from "./format.ts";

/** Namespaces and their number on disk; the exact names come before the prefixes that they begin with. */
export const xattrNamespaces: readonly { prefix: string; index: number; isWhole: boolean }[] = [
  { prefix: "system.posix_acl_access", index: 2, isWhole: true },
  { prefix: "system.posix_acl_default", index: 3, isWhole: true },
  { prefix: "user.", index: 1, isWhole: false },
  { prefix: "trusted.", index: 4, isWhole: false },
  { prefix: "security.", index: 6, isWhole: false },
  { prefix: "system.", index: 7, isWhole: false },
];

export interface StoredXattr {
  index: number;
  /** Without the namespace. */
  name: Uint8Array;
  value: Uint8Array;
  /** The inode that holds the value, if it is not stored with the entry. */
  valueInode?: { inode: number; hash: number };
}

/** The stored form of an attribute; undefined for a namespace that ext4 does not have. */
export function toStored(attribute: Xattr): StoredXattr | undefined {
  const name = Buffer.from(attribute.name).toString("latin1");
  const space = xattrNamespaces.find(({ prefix, isWhole }) =>
    isWhole ? name === prefix : name.startsWith(prefix) && name.length > prefix.length,
  );
  if (!space) return undefined;
  const isAcl = space.index === 2 || space.index === 3;
  return {
    index: space.index,
    name: attribute.name.subarray(space.prefix.length),
    value: isAcl ? aclToDisk(attribute.value) : attribute.value,
  };
}

/** In the order that the kernel keeps in blocks: namespace, length of the name, name. */
export function sortStored(attributes: StoredXattr[]): StoredXattr[] {
  return attributes.sort(
    (a, b) => a.index - b.index || a.name.length - b.name.length || Buffer.compare(a.name, b.name),
  );
}

/** Bytes that the attributes take after a header, with the four zero bytes that end the list. */
export function storedBytes(attributes: readonly StoredXattr[]): number {
  let total = 4;
  for (const { name, value, valueInode } of attributes) {
    total += format.ENTRY_BYTES + pad4(name.length) + (valueInode ? 0 : pad4(value.length));
  }
  return total;
}

/** Writes the attributes into the inode's room, which begins with the magic. */
export function putInline(room: Uint8Array, attributes: readonly StoredXattr[]): void {
  put32(room, 0, format.MAGIC);
  putEntries(room.subarray(4), attributes, 0);
}

/** Fills a zeroed block, which goes to block number `number`. */
export function putBlock(
  block: Uint8Array,
  attributes: readonly StoredXattr[],
  place: { number: number; checksumSeed: number },
): void {
  put32(block, 0, format.MAGIC);
  put32(block, 4, 1);
  put32(block, 8, 1);
  put32(block, 12, putEntries(block, attributes, format.BLOCK_HEADER_BYTES));
  put32(block, 16, blockChecksum(block, place));
}

/** Of an attribute block whose checksum field is zero. */
export function blockChecksum(
  block: Uint8Array,
  place: { number: number; checksumSeed: number },
): number {
  const seed = crc32cWord(
    crc32cWord(place.checksumSeed, place.number),
    Math.floor(place.number / 2 ** 32),
  );
  return crc32c(seed, block, 0, BLOCK_BYTES);
}

/** Entries grow up from `start`, values down from the end of `room`. Gives the hash over all. */
function putEntries(room: Uint8Array, attributes: readonly StoredXattr[], start: number): number {
  let at = start;
  let valueAt = room.length;
  let total = 0;
  for (const { index, name, value, valueInode } of attributes) {
    if (!valueInode) valueAt -= pad4(value.length);
    room[at] = name.length;
    room[at + 1] = index;
    put32(room, at + 8, value.length);
    let hash: number;
    if (valueInode) {
      put32(room, at + 4, valueInode.inode);
      const word = new Uint8Array(4);
      put32(word, 0, valueInode.hash);
      hash = entryHash(name, word);
    } else {
      room.set(value, valueAt);
      put16(room, at + 2, value.length === 0 ? 0 : valueAt);
      hash = entryHash(name, room.subarray(valueAt, valueAt + pad4(value.length)));
    }
    put32(room, at + 12, hash);
    room.set(name, at + format.ENTRY_BYTES);
    at += format.ENTRY_BYTES + pad4(name.length);
    total = (total << 16) ^ (total >>> 16) ^ hash;
  }
  return total >>> 0;
}

function entryHash(name: Uint8Array, value: Uint8Array): number {
  let hash = 0;
  for (const byte of name) hash = (hash << 5) ^ (hash >>> 27) ^ byte;
  for (let at = 0; at < value.length; at += 4) {
    hash = (hash << 16) ^ (hash >>> 16) ^ get32(value, at);
  }
  return hash >>> 0;
}

function pad4(length: number): number {
  return (length + 3) & ~3;
}

const ACL_XATTR_VERSION = 2;
const ACL_DISK_VERSION = 1;
const ACL_USER = 0x02;
const ACL_GROUP = 0x08;
/** USER_OBJ, USER, GROUP_OBJ, GROUP, MASK, OTHER. */
const aclTags: readonly number[] = [0x01, ACL_USER, 0x04, ACL_GROUP, 0x10, 0x20];
const ACL_ENTRY_BYTES = 8;

/** The kernel's interface form has 8 bytes for each entry; ext4 leaves the id out where it says nothing. */
function aclToDisk(value: Uint8Array): Uint8Array {
  if (value.length < 4 || (value.length - 4) % ACL_ENTRY_BYTES !== 0) throw badAcl();
  if (get32(value, 0) !== ACL_XATTR_VERSION) throw badAcl();
  const parts: number[] = [ACL_DISK_VERSION, 0, 0, 0];
  for (let at = 4; at < value.length; at += ACL_ENTRY_BYTES) {
    const tag = get16(value, at);
    if (!aclTags.includes(tag)) throw badAcl();
    const isNamed = tag === ACL_USER || tag === ACL_GROUP;
    parts.push(...value.subarray(at, at + (isNamed ? ACL_ENTRY_BYTES : 4)));
  }
  return Uint8Array.from(parts);
}

/** The reverse, for readers. */
export function aclFromDisk(value: Uint8Array): Uint8Array {
  if (value.length < 4 || get32(value, 0) !== ACL_DISK_VERSION) throw badAcl();
  const parts: number[] = [ACL_XATTR_VERSION, 0, 0, 0];
  for (let at = 4; at + 4 <= value.length; ) {
    const tag = get16(value, at);
    const isNamed = tag === ACL_USER || tag === ACL_GROUP;
    if (isNamed && at + ACL_ENTRY_BYTES > value.length) throw badAcl();
    parts.push(...value.subarray(at, at + 4));
    parts.push(...(isNamed ? value.subarray(at + 4, at + 8) : [255, 255, 255, 255]));
    at += isNamed ? ACL_ENTRY_BYTES : 4;
  }
  return Uint8Array.from(parts);
}

function badAcl(): BangerError {
  return new BangerError("integrity", "Cannot read a POSIX ACL: invalid format");
}
