/**
 * Converts the changes of a command to an image layer, from the frozen upper directory of the machine's overlay root.
 * Overlayfs stores changed files completely, deletions as devices 0:0, and marks opaque directories. Source: Linux,
 * filesystems/overlayfs.rst.
 */
import { BangerError } from "#base/error.ts";
import { MiB } from "#base/size.ts";
import { slices } from "#base/slices.ts";
import type { Xattr } from "#ext4/attributes.ts";
import { modes } from "#ext4/format.ts";
import type { FileStat } from "#ext4/read/inode.ts";
import type { Ext4Reader } from "#ext4/read/reader.ts";
import { attributes, entryOf, tarTypes } from "#images/export/tar.ts";
import { type WalkedFile, walkTree } from "#images/export/walk.ts";
import { shown } from "#tar/entry.ts";
import { TAR_END, tarHeader } from "#tar/write.ts";

/** By path, as bytes in a string: a fingerprint that changes with the file. */
export type UpperIndex = Map<string, string>;

const UPPER = "/upper";
const ENTRIES_MAX = 2_000_000;
/** Limit of all paths, which are kept between the commands of a build. */
const PATHS_MAX_BYTES = 256 * MiB;
const OVERLAY_PREFIX = "trusted.overlay.";
const WHITEOUT_PREFIX = ".wh.";
const OPAQUE_NAME = ".wh..wh..opq";

/** Files that every machine writes at its start, which are not part of the image. */
const OF_THE_MACHINE = new Set([
  ...["etc/hostname", "etc/hosts", "etc/resolv.conf", "etc/machine-id"],
  // Mount point of banger's own files.
  "run/banger",
]);

interface Found extends WalkedFile {
  /** `path` as bytes in a string. */
  key: string;
}

export async function indexUpper(reader: Ext4Reader, signal?: AbortSignal): Promise<UpperIndex> {
  const index: UpperIndex = new Map();
  for await (const { key, file } of walk(reader, signal)) index.set(key, markOf(file));
  return index;
}

/**
 * The changes since `before` as a tar; fills `after` with the new index. `unsupported` for a file that a layer cannot
 * hold.
 */
export async function* changesTar(
  reader: Ext4Reader,
  options: { before: UpperIndex; after: UpperIndex; signal?: AbortSignal | undefined },
): AsyncGenerator<Uint8Array> {
  const { before, after, signal } = options;
  const names = new Map<number, Uint8Array>();
  const opaque = new Set<string>();
  for await (const found of walk(reader, signal)) {
    const { path, key, file, runs } = found;
    const mark = markOf(file);
    const old = before.get(key);
    after.set(key, mark);
    if (old === mark || OF_THE_MACHINE.has(key)) continue;
    if (isWhiteout(file)) {
      yield whiteoutHeader(path);
      continue;
    }
    const first = names.get(file.inode);
    if (first) {
      yield tarHeader({ ...attributes(file), type: "link", name: path, linkName: first, size: 0 });
      continue;
    }
    if (!tarTypes[file.type]) continue;
    if (file.type !== modes.DIRECTORY && file.links > 1) names.set(file.inode, path);
    const { xattrs, isOpaque } = ownXattrs(reader, found);
    yield* entryOf(reader, { path, file, runs, xattrs });
    const isNew = old === undefined || inodeOf(old) !== inodeOf(mark);
    if (file.type !== modes.DIRECTORY || !isNew || (!isOpaque && old === undefined)) continue;
    opaque.add(key);
    yield emptyHeader(Buffer.concat([path, Buffer.from(`/${OPAQUE_NAME}`)]));
  }
  const pause = slices();
  for (const key of before.keys()) {
    await pause();
    if (after.has(key) || OF_THE_MACHINE.has(key)) continue;
    // A deleted or replaced parent directory already hides it.
    const parent = parentOf(key);
    const isSaid = parent !== "" && (!after.has(parent) || opaque.has(parent));
    if (!isSaid) yield whiteoutHeader(Buffer.from(key, "latin1"));
  }
  yield TAR_END;
}

/** Everything below the upper directory, sorted by name, directories before their content. */
async function* walk(reader: Ext4Reader, signal: AbortSignal | undefined): AsyncGenerator<Found> {
  let left = PATHS_MAX_BYTES;
  const files = walkTree(reader, reader.stat(UPPER), { entriesMax: ENTRIES_MAX, signal });
  for await (const found of files) {
    left -= found.path.length;
    if (left < 0) {
      throw new BangerError(
        "limit_exceeded",
        `too many changed files: their paths take more than ${PATHS_MAX_BYTES} bytes`,
      );
    }
    yield { ...found, key: Buffer.from(found.path).toString("latin1") };
  }
}

/** Any change of a file or its attributes changes its ctime; a new file has another inode. */
function markOf(file: FileStat): string {
  return `${file.inode}.${file.generation} ${file.ctime_s}.${file.ctime_ns}`;
}

function inodeOf(mark: string): string {
  return mark.slice(0, mark.indexOf(" "));
}

function isWhiteout({ type, major, minor }: FileStat): boolean {
  return type === modes.CHARACTER && major === 0 && minor === 0;
}

function ownXattrs(reader: Ext4Reader, { path, file }: Found) {
  const xattrs: Xattr[] = [];
  let isOpaque = false;
  for (const xattr of reader.xattrs(file)) {
    const name = Buffer.from(xattr.name).toString("latin1");
    if (!name.startsWith(OVERLAY_PREFIX)) xattrs.push(xattr);
    const mark = name.slice(OVERLAY_PREFIX.length);
    if (name.startsWith(OVERLAY_PREFIX) && /^(redirect|metacopy)$/.test(mark)) {
      throw new BangerError(
        "unsupported",
        `Cannot save ${shown(path)}: the kernel's overlayfs uses redirect_dir or metacopy`,
        {
          hint: "Build with a kernel whose overlayfs has redirect_dir and metacopy off by default",
        },
      );
    }
    if (name === `${OVERLAY_PREFIX}opaque`) isOpaque = Buffer.from(xattr.value).toString() === "y";
  }
  return { xattrs, isOpaque };
}

function whiteoutHeader(path: Uint8Array): Uint8Array {
  const bytes = Buffer.from(path);
  const slash = bytes.lastIndexOf("/") + 1;
  return emptyHeader(
    Buffer.concat([bytes.subarray(0, slash), Buffer.from(WHITEOUT_PREFIX), bytes.subarray(slash)]),
  );
}

function emptyHeader(name: Uint8Array): Uint8Array {
  return tarHeader({
    type: "file",
    name,
    mode: 0o600,
    uid: 0,
    gid: 0,
    size: 0,
    mtime_s: 0,
    mtime_ns: 0,
  });
}

function parentOf(key: string): string {
  const slash = key.lastIndexOf("/");
  return slash < 0 ? "" : key.slice(0, slash);
}
