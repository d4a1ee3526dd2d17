/**
 * Walks the files below a directory of an ext4, sorted by name, a directory before its content. The disk may be a
 * hostile guest's: blocks and directories that occur twice are errors, memory is limited, and the walk yields to the
 * event loop.
 */
import { throwIfAborted } from "#base/abort.ts";
import { BangerError } from "#base/error.ts";
import { slices, sortSlowly } from "#base/slices.ts";
import { BlockSet } from "#ext4/block-set.ts";
import type { Run } from "#ext4/extent-tree.ts";
import { modes } from "#ext4/format.ts";
import type { DirectoryEntry } from "#ext4/read/directory.ts";
import type { FileStat } from "#ext4/read/inode.ts";
import type { Ext4Reader } from "#ext4/read/reader.ts";
import { parseWhiteout } from "#oci/whiteout.ts";
import { shown, TAR_NAME_MAX_BYTES } from "#tar/entry.ts";

export interface WalkedFile {
  path: Uint8Array;
  file: FileStat;
  /** The extents of its data; undefined for a file without data, and for further hard links to it. */
  runs: readonly Run[] | undefined;
  /** An empty directory. */
  isEmpty: boolean;
}

export interface WalkOptions {
  entriesMax: number;
  signal?: AbortSignal | undefined;
}

interface Folder {
  path: Uint8Array;
  /** Sorted by name. */
  entries: readonly DirectoryEntry[];
  next: number;
}

/** `integrity` for a corrupt disk, `limit_exceeded`, `unsupported` for a name that a layer cannot hold. */
export async function* walkTree(
  reader: Ext4Reader,
  root: FileStat,
  { entriesMax, signal }: WalkOptions,
): AsyncGenerator<WalkedFile> {
  const pause = slices();
  const taken = new BlockSet();
  const folders = new Set([root.inode]);
  const linked = new Set<number>();
  let left = entriesMax;

  async function open(folder: FileStat, path: Uint8Array): Promise<Folder> {
    const runs = reader.runs(folder, taken);
    const entries = await reader.entries(folder, { runs, max: left });
    left -= entries.length;
    await sortSlowly(entries, (a, b) => Buffer.compare(a.name, b.name));
    return { path, entries, next: 0 };
  }

  const stack = [await open(root, new Uint8Array(0))];
  for (let folder = stack.at(-1); folder; folder = stack.at(-1)) {
    throwIfAborted(signal);
    await pause();
    const entry = folder.entries[folder.next++];
    if (!entry) {
      stack.pop();
      continue;
    }
    const path = joinName(folder.path, entry.name);
    const file = reader.inode(entry.inode);
    if (file.type === modes.DIRECTORY) {
      if (folders.has(file.inode)) throw circular(path);
      folders.add(file.inode);
      const below = await open(file, path);
      yield { path, file, runs: undefined, isEmpty: below.entries.length === 0 };
      stack.push(below);
      continue;
    }
    const isFurther = linked.has(file.inode);
    if (file.links > 1) linked.add(file.inode);
    const runs = isFurther || !hasBlocks(file) ? undefined : reader.runs(file, taken);
    yield { path, file, runs, isEmpty: false };
  }
}

export function joinName(folder: Uint8Array, name: Uint8Array): Uint8Array {
  if (parseWhiteout(name).kind !== "none") {
    throw new BangerError(
      "unsupported",
      `Cannot write ${shown(name)} to a layer: names that start with .wh. mark deleted files`,
    );
  }
  if (folder.length === 0) return name;
  const path = Buffer.concat([folder, Buffer.from("/"), name]);
  if (path.length <= TAR_NAME_MAX_BYTES) return path;
  throw new BangerError("unsupported", `Cannot write ${shown(path)}… to a layer: path too long`);
}

function hasBlocks({ type, isInline, fastTarget }: FileStat): boolean {
  if (isInline) return false;
  return type === modes.REGULAR || (type === modes.SYMLINK && fastTarget === undefined);
}

function circular(path: Uint8Array): BangerError {
  return new BangerError(
    "integrity",
    `Cannot read the file system: directory ${shown(path)} has more than one name`,
    { hint: "Fix it with e2fsck" },
  );
}
