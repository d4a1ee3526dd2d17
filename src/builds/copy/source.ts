/**
 * The sources of COPY: a directory of the host, or the root of an image. Paths are bytes, one per character of a
 * string.
 */
import { type BigIntStats, lstatSync, readdirSync, readlinkSync } from "node:fs";
import { errnoOf } from "#base/error.ts";
import { readSized } from "#base/files/chunks.ts";
import { MiB } from "#base/size.ts";
import { modes } from "#ext4/format.ts";
import type { FileStat } from "#ext4/read/inode.ts";
import type { Ext4Reader } from "#ext4/read/reader.ts";
import { tarTypes } from "#images/export/tar.ts";
import type { TarEntry, TarEntryType } from "#tar/entry.ts";
import { tarTime } from "#tar/write.ts";
import { capabilityOf } from "./capability.ts";
import { ImageFiles } from "./image-files.ts";
import type { PatternList } from "./patterns.ts";

export interface SourceFile extends Omit<TarEntry, "name" | "linkName"> {
  /** Identifies the hard links of one file. */
  inode?: string | undefined;
  /** Of a symbolic link. */
  target: string;
  data(): AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
}

export interface Source {
  /** For messages. */
  what: string;
  /** Paths are relative to the source's root. Undefined for a missing file or an unsupported type. */
  stat(path: string): SourceFile | undefined;
  /** Names in a directory, sorted by bytes. */
  list(path: string): string[];
  /** Whether a path exists but is excluded by .dockerignore. */
  isIgnored(path: string): boolean;
}

const CHUNK_BYTES = MiB;
const LINKS_FOLLOWED_MAX = 40;

/**
 * A directory of the host, whose files belong to root in the image. Files that `ignore` matches are hidden, except
 * directories with visible files.
 */
export function folderSource(root: string, ignore: PatternList): Source {
  const at = (path: string): Buffer => Buffer.concat([Buffer.from(`${root}/`), bytesOf(path)]);
  const visible = new Map<string, boolean>();
  const list = (path: string): string[] => {
    const names = readdirSync(at(path), { encoding: "buffer" }) as Buffer[];
    return names.sort(Buffer.compare).map((name) => name.toString("latin1"));
  };
  const hasVisible = (folder: string): boolean => {
    const known = visible.get(folder) ?? list(folder).some((name) => stat(`${folder}/${name}`));
    visible.set(folder, known);
    return known;
  };
  const stat = (path: string): SourceFile | undefined => {
    if (path === "" || !ignore.matches(path)) return contextFile(at(path));
    if (!ignore.mayMatchBelow(path, { exceptions: true })) return undefined;
    const file = contextFile(at(path));
    return file?.type === "directory" && hasVisible(path) ? file : undefined;
  };
  return {
    what: "the build context",
    list,
    stat,
    isIgnored(path) {
      const parts = path.split("/");
      const above = parts.slice(0, -1).map((_, index) => parts.slice(0, index + 1).join("/"));
      const isReached = above.every((folder) => contextFile(at(folder))?.type === "directory");
      return isReached && contextFile(at(path)) !== undefined && stat(path) === undefined;
    },
  };
}

function contextFile(path: Buffer): SourceFile | undefined {
  const stat = lstatOf(path);
  const type = stat && typeOf(stat);
  if (!type) return undefined;
  // A socket becomes an empty file: layers have no sockets.
  const size = stat.isFile() ? Number(stat.size) : 0;
  const hasNames = stat.isFile() && stat.nlink > 1n;
  return {
    type,
    mode: Number(stat.mode) & 0o7777,
    uid: 0,
    gid: 0,
    size,
    ...tarTime(stat.mtimeNs),
    ...deviceNumber(stat.rdev),
    xattrs: stat.isFile() && (stat.mode & 0o111n) !== 0n ? capabilityOf(path) : [],
    inode: hasNames ? `${stat.dev}:${stat.ino}` : undefined,
    target: type === "symlink" ? readlinkSync(path, "latin1") : "",
    data: () => (stat.isFile() ? readSized(path, size) : []),
  };
}

function lstatOf(path: Buffer): BigIntStats | undefined {
  if (path.includes(0)) return undefined;
  try {
    return lstatSync(path, { bigint: true, throwIfNoEntry: false });
  } catch (error) {
    if (/^(ENOTDIR|ENAMETOOLONG)$/.test(errnoOf(error) ?? "")) return undefined;
    throw error;
  }
}

function typeOf(stat: BigIntStats): TarEntryType | undefined {
  if (stat.isDirectory()) return "directory";
  if (stat.isSymbolicLink()) return "symlink";
  if (stat.isFIFO()) return "fifo";
  if (stat.isCharacterDevice()) return "character";
  if (stat.isBlockDevice()) return "block";
  return stat.isFile() || stat.isSocket() ? "file" : undefined;
}

/** As major() and minor() of glibc. */
function deviceNumber(device: bigint): { major: number; minor: number } {
  const major = ((device >> 8n) & 0xfffn) | ((device >> 32n) & ~0xfffn);
  const minor = (device & 0xffn) | ((device >> 12n) & ~0xffn);
  return { major: Number(major), minor: Number(minor & 0xffff_ffffn) };
}

/** The root of an image or of an earlier stage, with owners and attributes. */
export function imageSource(reader: Ext4Reader, what: string): Source {
  const files = new ImageFiles(reader);
  return {
    what,
    isIgnored: () => false,
    list: (path) => files.list(path),
    stat(path) {
      const file = files.stat(path);
      const type = file && tarTypes[file.type];
      if (!file || !type) return undefined;
      const { mode, uid, gid, mtime_s, mtime_ns, major, minor } = file;
      const size = file.type === modes.REGULAR ? file.size : 0;
      const target =
        type === "symlink" ? Buffer.from(reader.targetOf(file)).toString("latin1") : "";
      const xattrs = reader.xattrs(file);
      const inode = type === "file" && file.links > 1 ? String(file.inode) : undefined;
      const common = {
        mode,
        uid,
        gid,
        mtime_s,
        mtime_ns,
        major,
        minor,
        size,
        target,
        xattrs,
        inode,
      };
      return { type, ...common, data: () => wholeData(reader, file) };
    },
  };
}

/** A here-document as a file. */
export function textFile(text: string): SourceFile {
  const bytes = new TextEncoder().encode(text);
  const common = { mode: 0o644, uid: 0, gid: 0, mtime_s: 0, mtime_ns: 0, major: 0, minor: 0 };
  return {
    type: "file",
    ...common,
    size: bytes.length,
    xattrs: [],
    target: "",
    data: () => [bytes],
  };
}

/** Resolves symbolic links inside the source; undefined for a dangling one. */
export function resolveSource(source: Source, path: string): string | undefined {
  const queue = path.split("/").reverse();
  const trail: string[] = [];
  for (let followed = 0; queue.length > 0; ) {
    const name = queue.pop() as string;
    if (name === "" || name === ".") continue;
    if (name === "..") {
      trail.pop();
      continue;
    }
    const here = [...trail, name].join("/");
    const file = source.stat(here);
    if (!file) return undefined;
    if (file.type !== "symlink") {
      trail.push(name);
      continue;
    }
    if (++followed > LINKS_FOLLOWED_MAX) return undefined;
    if (file.target.startsWith("/")) trail.length = 0;
    queue.push(...file.target.split("/").reverse());
  }
  return trail.join("/");
}

export function bytesOf(path: string): Buffer {
  return Buffer.from(path, "latin1");
}

/** Encodes text of a Dockerfile as a path. */
export function pathOf(text: string): string {
  return Buffer.from(text, "utf8").toString("latin1");
}

function* wholeData(reader: Ext4Reader, file: FileStat): Generator<Uint8Array> {
  let position = 0;
  for (const { offset, bytes } of reader.chunks(file)) {
    yield* zeros(offset - position);
    yield bytes;
    position = offset + bytes.length;
  }
  yield* zeros(file.size - position);
}

function* zeros(count: number): Generator<Uint8Array> {
  for (let left = count; left > 0; left -= CHUNK_BYTES) {
    yield new Uint8Array(Math.min(left, CHUNK_BYTES));
  }
}
