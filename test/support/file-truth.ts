/**
 * Lists a directory tree as the kernel sees it: type, mode, owner, times, links, device number, attributes and a
 * content hash of every path, to compare two trees.
 */
import { dlopen, FFIType, ptr } from "bun:ffi";
import { createHash } from "node:crypto";
import { lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs";

export interface FileTruth {
  type: number;
  mode: number;
  uid: number;
  gid: number;
  links: number;
  size: number;
  mtime: bigint;
  device: number;
  xattrs: Record<string, string>;
  /** Of a file the hash of its bytes, of a symbolic link its target in hex. */
  content: string;
  /** Names of one file share a number: the place of the first of them. */
  sameAs: string;
}

const { llistxattr, lgetxattr, lsetxattr } = dlopen("libc.so.6", {
  lsetxattr: {
    args: [FFIType.ptr, FFIType.ptr, FFIType.ptr, FFIType.u64, FFIType.i32],
    returns: FFIType.i32,
  },
  llistxattr: { args: [FFIType.ptr, FFIType.ptr, FFIType.u64], returns: FFIType.i64 },
  lgetxattr: {
    args: [FFIType.ptr, FFIType.ptr, FFIType.ptr, FFIType.u64],
    returns: FFIType.i64,
  },
}).symbols;

const TYPE_MASK = 0o170000;
const DIRECTORY = 0o040000;
const REGULAR = 0o100000;
const SYMLINK = 0o120000;

/** By path from the root of the folder, "." for itself; names that are not UTF-8 are shown as "\xff". */
export function truthOf(folder: string): Map<string, FileTruth> {
  const result = new Map<string, FileTruth>();
  const firstNames = new Map<bigint, string>();
  const visit = (path: Buffer, shown: string): void => {
    const stat = lstatSync(path, { bigint: true });
    const type = Number(stat.mode) & TYPE_MASK;
    const first = firstNames.get(stat.ino) ?? shown;
    firstNames.set(stat.ino, first);
    result.set(shown, {
      type,
      mode: Number(stat.mode) & 0o7777,
      uid: Number(stat.uid),
      gid: Number(stat.gid),
      links: Number(stat.nlink),
      size: type === DIRECTORY ? 0 : Number(stat.size),
      mtime: stat.mtimeNs,
      device: Number(stat.rdev),
      xattrs: xattrsOf(path),
      content: contentOf(path, type),
      sameAs: first,
    });
    if (type !== DIRECTORY) return;
    const names = readdirSync(path, { encoding: "buffer" }) as Buffer[];
    for (const name of names.sort(Buffer.compare)) {
      const below = shown === "." ? showName(name) : `${shown}/${showName(name)}`;
      visit(Buffer.concat([path, Buffer.from("/"), name]), below);
    }
  };
  visit(Buffer.from(folder), ".");
  return result;
}

/** Sets an extended attribute, as setfattr does. */
export function setXattr(path: string, name: string, value: string | Uint8Array): void {
  const bytes = Buffer.from(typeof value === "string" ? Buffer.from(value) : value);
  const room = Buffer.concat([bytes, Buffer.from([0])]);
  const [cPath, cName] = [Buffer.from(`${path}\0`), Buffer.from(`${name}\0`)];
  if (lsetxattr(ptr(cPath), ptr(cName), ptr(room), bytes.length, 0) !== 0) {
    throw new Error(`Cannot set ${name} of ${path}`);
  }
}

/** One line for each difference; none when the folders are the same. */
export function differences(
  expected: ReadonlyMap<string, object>,
  actual: ReadonlyMap<string, object>,
  ignore: (path: string, field: string) => boolean = () => false,
): string[] {
  const lines: string[] = [];
  for (const [path, truth] of expected) {
    const other = actual.get(path);
    if (!other) {
      lines.push(`${path}: missing`);
      continue;
    }
    const fields: Record<string, unknown> = { ...truth };
    const others: Record<string, unknown> = { ...other };
    for (const field of Object.keys(fields)) {
      const [a, b] = [show(fields[field]), show(others[field])];
      if (a !== b && !ignore(path, field)) lines.push(`${path}: ${field} is ${b}, not ${a}`);
    }
  }
  for (const path of actual.keys()) if (!expected.has(path)) lines.push(`${path}: unexpected`);
  return lines;
}

function show(value: unknown): string {
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

function showName(name: Buffer): string {
  return [...name]
    .map((byte) =>
      byte > 0x20 && byte < 0x7f
        ? String.fromCharCode(byte)
        : `\\x${byte.toString(16).padStart(2, "0")}`,
    )
    .join("");
}

function contentOf(path: Buffer, type: number): string {
  if (type === SYMLINK)
    return (readlinkSync(path, { encoding: "buffer" }) as Buffer).toString("hex");
  if (type !== REGULAR) return "";
  return createHash("sha256").update(readFileSync(path)).digest("hex");
}

function xattrsOf(path: Buffer): Record<string, string> {
  const cPath = Buffer.concat([path, Buffer.from([0])]);
  const list = Buffer.alloc(65_536);
  const length = Number(llistxattr(ptr(cPath), ptr(list), list.length));
  if (length < 0) throw new Error(`Cannot list the attributes of ${path}`);
  const names = list.subarray(0, length).toString("latin1").split("\0").filter(Boolean).sort();
  const result: Record<string, string> = {};
  for (const name of names) {
    const value = Buffer.alloc(65_536);
    const cName = Buffer.from(`${name}\0`, "latin1");
    const size = Number(lgetxattr(ptr(cPath), ptr(cName), ptr(value), value.length));
    if (size < 0) throw new Error(`Cannot read ${name} of ${path}`);
    result[name] = value.subarray(0, size).toString("hex");
  }
  return result;
}
