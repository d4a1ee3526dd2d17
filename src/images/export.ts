/**
 * A file system as one tar, in the order of its names: what a managed image leaves as. The same
 * file system gives the same bytes.
 */
import { BangerError, throwIfAborted } from "#base/error.ts";
import { KiB } from "#base/size.ts";
import type { Xattr } from "#ext4/attributes.ts";
import { modes } from "#ext4/format.ts";
import type { Ext4Reader } from "#ext4/reader.ts";
import type { FileStat } from "#ext4/reader-inode.ts";
import type { TarEntryType } from "#oci/tar-entry.ts";
import { shown, TAR_NAME_MAX_BYTES } from "#oci/tar-entry.ts";
import { type DataPart, storedBytes, TAR_END, tarHeader, tarPadding } from "#oci/tar-write.ts";
import { parseWhiteout } from "#oci/whiteout.ts";

/** A file system in a user's file may be damaged so that its folders go round in circles. */
const ENTRIES_MAX = 10_000_000;
/** Files with less than this in holes are written whole, which every reader of tars can take. */
const HOLES_MIN_BYTES = 64 * KiB;

export interface ExportOptions {
  signal?: AbortSignal | undefined;
  /** How many files and folders have been written. */
  onEntry?: (count: number) => void;
}

interface Pending {
  path: Uint8Array;
  inode: number;
}

export const tarTypes: Record<number, TarEntryType> = {
  [modes.DIRECTORY]: "directory",
  [modes.REGULAR]: "file",
  [modes.SYMLINK]: "symlink",
  [modes.CHARACTER]: "character",
  [modes.BLOCK]: "block",
  [modes.FIFO]: "fifo",
};

/** `integrity` for a damaged file system, `unsupported` for what a layer cannot say. Sockets are left out. */
export async function* exportTar(
  reader: Ext4Reader,
  options: ExportOptions = {},
): AsyncGenerator<Uint8Array> {
  const names = new Map<number, Uint8Array>();
  const root = reader.stat("/");
  const folders = new Set([root.inode]);
  yield* entryOf(reader, { path: Buffer.from("."), file: root });
  const stack = childrenOf(reader, root, Buffer.alloc(0));
  for (let next = stack.pop(), count = 1; next; next = stack.pop(), count++) {
    throwIfAborted(options.signal);
    options.onEntry?.(count);
    if (count > ENTRIES_MAX) {
      throw new BangerError(
        "limit_exceeded",
        `Cannot read the file system: it has more than ${ENTRIES_MAX} entries`,
      );
    }
    const { path } = next;
    const file = reader.inode(next.inode);
    const first = names.get(next.inode);
    if (first) {
      yield tarHeader({ ...attributes(file), type: "link", name: path, linkName: first, size: 0 });
      continue;
    }
    if (file.type === modes.DIRECTORY) {
      if (folders.has(next.inode)) throw circular(path);
      folders.add(next.inode);
      const children = childrenOf(reader, file, path);
      if (isEmptyLostFound(path, children)) continue;
      yield* entryOf(reader, { path, file });
      for (const child of children) stack.push(child);
      continue;
    }
    if (!tarTypes[file.type]) continue;
    if (file.links > 1) names.set(next.inode, path);
    yield* entryOf(reader, { path, file });
  }
  yield TAR_END;
}

/** The entry's header and, of a regular file, its data. `xattrs`: in place of the file's own. */
export function* entryOf(
  reader: Ext4Reader,
  { path, file, xattrs }: { path: Uint8Array; file: FileStat; xattrs?: readonly Xattr[] },
): Generator<Uint8Array> {
  const type = tarTypes[file.type];
  if (!type) throw new Error("Assertion failed: a tar can hold this type");
  const parts = type === "file" ? partsOf(reader, file) : undefined;
  yield tarHeader({
    ...attributes(file),
    type,
    name: path,
    ...(type === "symlink" ? { linkName: reader.targetOf(file) } : {}),
    size: type === "file" ? file.size : 0,
    xattrs: xattrs ?? reader.xattrs(file),
    ...(parts ? { parts } : {}),
  });
  if (type !== "file") return;
  if (!parts) yield* wholeFile(reader, file);
  else {
    for (const { bytes } of reader.chunks(file)) yield bytes;
    yield tarPadding(storedBytes(parts));
  }
}

/** Undefined for a file without holes to speak of. */
function partsOf(reader: Ext4Reader, file: FileStat): DataPart[] | undefined {
  if (file.size < HOLES_MIN_BYTES) return undefined;
  const { blockSize } = reader.info;
  const parts: DataPart[] = [];
  for (const { logical, count } of reader.runs(file)) {
    const offset = logical * blockSize;
    const length = Math.min(count * blockSize, file.size - offset);
    if (length <= 0) continue;
    const last = parts.at(-1);
    if (last && last.offset + last.length === offset) last.length += length;
    else parts.push({ offset, length });
  }
  return file.size - storedBytes(parts) < HOLES_MIN_BYTES ? undefined : parts;
}

function* wholeFile(reader: Ext4Reader, file: FileStat): Generator<Uint8Array> {
  let position = 0;
  for (const { offset, bytes } of reader.chunks(file)) {
    if (offset > position) yield new Uint8Array(offset - position);
    yield bytes;
    position = offset + bytes.length;
  }
  if (file.size > position) yield new Uint8Array(file.size - position);
  yield tarPadding(file.size);
}

/** Last name first, as a stack is emptied from its end. */
function childrenOf(reader: Ext4Reader, folder: FileStat, path: Uint8Array): Pending[] {
  const entries = reader.entries(folder);
  entries.sort((a, b) => Buffer.compare(b.name, a.name));
  return entries.map(({ name, inode }) => ({ path: joinName(path, name), inode }));
}

export function joinName(folder: Uint8Array, name: Uint8Array): Uint8Array {
  if (parseWhiteout(name).kind !== "none") {
    throw new BangerError(
      "unsupported",
      `Cannot write ${shown(name)} into a layer: it would be read as a deletion there`,
    );
  }
  if (folder.length === 0) return name;
  const path = Buffer.concat([folder, Buffer.from("/"), name]);
  if (path.length <= TAR_NAME_MAX_BYTES) return path;
  throw new BangerError("unsupported", `Cannot write ${shown(path)}… into a layer: it is too long`);
}

export function attributes({ mode, uid, gid, mtime_s, mtime_ns, major, minor }: FileStat) {
  return { mode, uid, gid, mtime_s, mtime_ns, major, minor };
}

/** mke2fs makes the folder for fsck; it belongs to the disk and not to what is on it. */
function isEmptyLostFound(path: Uint8Array, children: readonly Pending[]): boolean {
  return children.length === 0 && Buffer.from(path).toString("latin1") === "lost+found";
}

function circular(path: Uint8Array): BangerError {
  return new BangerError(
    "integrity",
    `Cannot read the file system: ${shown(path)} is the name of a folder that has another one`,
    { hint: "Mend it with e2fsck" },
  );
}
