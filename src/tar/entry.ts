/** An entry of a tar archive, combined from its header and the extended headers before it. */
import { BangerError } from "#base/error.ts";
import { type TarHeader, tarError } from "./header.ts";
import type { PaxFields, TarXattr } from "./pax.ts";

export type TarEntryType =
  | "file"
  | "link"
  | "symlink"
  | "character"
  | "block"
  | "directory"
  | "fifo";

export interface TarEntry {
  type: TarEntryType;
  /** As in the archive, at most 4096 bytes; valid only during the call. */
  name: Uint8Array;
  /** Of a hard or symbolic link; valid only during the call. */
  linkName: Uint8Array;
  /** Permission, setuid, setgid and sticky bits. */
  mode: number;
  uid: number;
  gid: number;
  /** Bytes of the file when it is laid out, holes counted; 0 for what is no file. */
  size: number;
  mtime_s: number;
  mtime_ns: number;
  major: number;
  minor: number;
  xattrs: readonly TarXattr[];
}

/** What came before a header and says more of its entry. */
export interface TarOverrides {
  pax: PaxFields;
  global: PaxFields;
  longName: Uint8Array | undefined;
  longLinkName: Uint8Array | undefined;
}

export const TAR_NAME_MAX_BYTES = 4096;
const ID_MAX = 2 ** 32 - 1;
const NO_BYTES = new Uint8Array(0);
const NO_XATTRS: readonly TarXattr[] = [];
const SLASH = 0x2f;

/** `integrity` for impossible values, `unsupported` for a type that is not known. */
export function makeEntry(header: TarHeader, over: TarOverrides): TarEntry {
  const { pax, global } = over;
  const name = nameOf(header, over);
  const type = entryType(header.type, name);
  if (type === undefined) {
    throw new BangerError(
      "unsupported",
      `Cannot read tar archive: ${shown(name)} has the unknown type ${JSON.stringify(String.fromCharCode(header.type))}`,
    );
  }
  const isLink = type === "link" || type === "symlink";
  const linkName = isLink ? (pax.linkPath ?? over.longLinkName ?? header.linkName) : NO_BYTES;
  checkPath(name);
  checkPath(linkName);
  const time = pax.mtime ?? global.mtime ?? { s: header.mtime, ns: 0 };
  const entry: TarEntry = {
    type,
    name,
    linkName,
    mode: header.mode & 0o7777,
    uid: pax.uid ?? global.uid ?? header.uid,
    gid: pax.gid ?? global.gid ?? header.gid,
    size: type === "file" ? (pax.size ?? header.size) : 0,
    mtime_s: time.s,
    mtime_ns: time.ns,
    major: header.major,
    minor: header.minor,
    xattrs: xattrsOf(over),
  };
  if (entry.size < 0) throw tarError(`${shown(name)} has a negative size`);
  if (entry.uid < 0 || entry.uid > ID_MAX || entry.gid < 0 || entry.gid > ID_MAX) {
    throw tarError(`${shown(name)} has an owner that does not fit in 32 bits`);
  }
  return entry;
}

/** Copies the names, which are views into a block that is about to be reused. */
export function keepNames(entry: TarEntry): void {
  entry.name = entry.name.slice();
  entry.linkName = entry.linkName.slice();
}

/** A name as a person can read it, in quotes. */
export function shown(name: Uint8Array): string {
  return JSON.stringify(new TextDecoder().decode(name.subarray(0, 200)));
}

function nameOf(header: TarHeader, over: TarOverrides): Uint8Array {
  const long = over.pax.sparse?.name ?? over.pax.path ?? over.longName;
  if (long) return long;
  if (header.prefix.length === 0) return header.name;
  return Buffer.concat([header.prefix, Buffer.from("/"), header.name]);
}

function checkPath(path: Uint8Array): void {
  if (path.length > TAR_NAME_MAX_BYTES) {
    throw tarError(`the name ${shown(path)}… is longer than ${TAR_NAME_MAX_BYTES} bytes`);
  }
  if (path.includes(0)) throw tarError(`the name ${shown(path)} has a zero byte`);
}

function xattrsOf({ pax, global }: TarOverrides): readonly TarXattr[] {
  if (!pax.xattrs && !global.xattrs) return NO_XATTRS;
  return [...new Map([...(global.xattrs ?? []), ...(pax.xattrs ?? [])]).values()];
}

/** What an entry is; v7 archives mark directories by a "/" at the end of the name alone. */
function entryType(type: number, name: Uint8Array): TarEntryType | undefined {
  switch (String.fromCharCode(type)) {
    case "\0":
      return name[name.length - 1] === SLASH ? "directory" : "file";
    case "0":
    case "7":
    case "S":
      return "file";
    case "1":
      return "link";
    case "2":
      return "symlink";
    case "3":
      return "character";
    case "4":
      return "block";
    case "5":
    case "D":
      return "directory";
    case "6":
      return "fifo";
    default:
      return undefined;
  }
}
