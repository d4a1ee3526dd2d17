/** Exports a file system as one tar, sorted by name. The same file system gives the same bytes. */
import { assert } from "#base/assert.ts";
import { KiB } from "#base/size.ts";
import type { Xattr } from "#ext4/attributes.ts";
import type { Run } from "#ext4/extent-tree.ts";
import { modes } from "#ext4/format.ts";
import type { FileStat } from "#ext4/read/inode.ts";
import type { Ext4Reader } from "#ext4/read/reader.ts";
import type { TarEntryType } from "#tar/entry.ts";
import { type DataPart, storedBytes, TAR_END, tarHeader, tarPadding } from "#tar/write.ts";
import { type WalkedFile, walkTree } from "./walk.ts";

const ENTRIES_MAX = 10_000_000;
/** Files with fewer bytes in holes are written without them, which every tar reader supports. */
const HOLES_MIN_BYTES = 64 * KiB;

export interface ExportOptions {
  /** The directory to export. Default: the root. */
  root?: string;
  signal?: AbortSignal | undefined;
  /** Number of files and directories written. */
  onEntry?: (count: number) => void;
}

export const tarTypes: Record<number, TarEntryType> = {
  [modes.DIRECTORY]: "directory",
  [modes.REGULAR]: "file",
  [modes.SYMLINK]: "symlink",
  [modes.CHARACTER]: "character",
  [modes.BLOCK]: "block",
  [modes.FIFO]: "fifo",
};

/** `integrity` for a corrupt file system, `unsupported` for a file that a layer cannot hold. Sockets are omitted. */
export async function* exportTar(
  reader: Ext4Reader,
  options: ExportOptions = {},
): AsyncGenerator<Uint8Array> {
  const { signal, onEntry } = options;
  const names = new Map<number, Uint8Array>();
  const root = reader.stat(options.root ?? "/");
  yield* entryOf(reader, { path: Buffer.from("."), file: root });
  let count = 0;
  for await (const found of walkTree(reader, root, { entriesMax: ENTRIES_MAX, signal })) {
    onEntry?.(++count);
    const { path, file } = found;
    const first = names.get(file.inode);
    if (first) {
      yield tarHeader({ ...attributes(file), type: "link", name: path, linkName: first, size: 0 });
      continue;
    }
    if (!tarTypes[file.type] || isEmptyLostFound(found)) continue;
    if (file.type !== modes.DIRECTORY && file.links > 1) names.set(file.inode, path);
    yield* entryOf(reader, found);
  }
  yield TAR_END;
}

/** The entry's header and, for a regular file, its data. `xattrs` replaces the file's own. */
export function* entryOf(
  reader: Ext4Reader,
  entry: {
    path: Uint8Array;
    file: FileStat;
    runs?: readonly Run[] | undefined;
    xattrs?: readonly Xattr[];
  },
): Generator<Uint8Array> {
  const { path, file, xattrs } = entry;
  const type = tarTypes[file.type];
  assert(type, "a tar can hold this type");
  const runs = type === "file" && !file.isInline ? (entry.runs ?? reader.runs(file)) : [];
  const parts = type === "file" ? partsOf(file, runs, reader.info.blockSize) : undefined;
  yield tarHeader({
    ...attributes(file),
    type,
    name: path,
    linkName: type === "symlink" ? reader.targetOf(file) : undefined,
    size: type === "file" ? file.size : 0,
    xattrs: xattrs ?? reader.xattrs(file),
    parts,
  });
  if (type !== "file") return;
  if (!parts) yield* wholeFile(reader, file, runs);
  else {
    for (const { bytes } of reader.chunks(file, runs)) yield bytes;
    yield tarPadding(storedBytes(parts));
  }
}

/** Undefined for a file with few or no holes. */
function partsOf(file: FileStat, runs: readonly Run[], blockSize: number): DataPart[] | undefined {
  if (file.size < HOLES_MIN_BYTES) return undefined;
  const parts: DataPart[] = [];
  for (const { logical, count } of runs) {
    const offset = logical * blockSize;
    const length = Math.min(count * blockSize, file.size - offset);
    if (length <= 0) continue;
    const last = parts.at(-1);
    if (last && last.offset + last.length === offset) last.length += length;
    else parts.push({ offset, length });
  }
  return file.size - storedBytes(parts) < HOLES_MIN_BYTES ? undefined : parts;
}

function* wholeFile(
  reader: Ext4Reader,
  file: FileStat,
  runs: readonly Run[],
): Generator<Uint8Array> {
  let position = 0;
  for (const { offset, bytes } of reader.chunks(file, runs)) {
    if (offset > position) yield new Uint8Array(offset - position);
    yield bytes;
    position = offset + bytes.length;
  }
  if (file.size > position) yield new Uint8Array(file.size - position);
  yield tarPadding(file.size);
}

export function attributes({ mode, uid, gid, mtime_s, mtime_ns, major, minor }: FileStat) {
  return { mode, uid, gid, mtime_s, mtime_ns, major, minor };
}

/** mke2fs creates the directory for fsck; it is not part of the content. */
function isEmptyLostFound({ path, isEmpty }: WalkedFile): boolean {
  return isEmpty && Buffer.from(path).toString("latin1") === "lost+found";
}
