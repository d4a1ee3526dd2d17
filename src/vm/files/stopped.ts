/**
 * Reads files of a stopped machine from its disks, as its overlay root would show them, without starting it. The
 * writable layer is a hostile guest's: numbers of entries and levels are limited, and nothing is followed.
 */
import { BangerError } from "#base/error.ts";
import { bytesOfText } from "#base/raw-text.ts";
import { slices } from "#base/slices.ts";
import { modes } from "#ext4/format.ts";
import type { FileStat } from "#ext4/read/inode.ts";
import { type Ext4Reader, openExt4 } from "#ext4/read/reader.ts";
import { TAR_END, tarHeader, tarPadding } from "#tar/write.ts";

const UPPER = "/upper";
const ENTRIES_MAX = 1_000_000;
const DEPTH_MAX = 512;
const CHUNK_BYTES = 256 * 1024;

/** A file in one of the layers. */
interface Found {
  reader: Ext4Reader;
  file: FileStat;
}

/** A name as the machine sees it: a file, or a directory with its parts in several layers, the highest first. */
type Merged = readonly [Found, ...Found[]];

export interface StoppedDisks {
  /** Of the machine. */
  name: string;
  /** The writable layer. */
  disk: string;
  /** Those below it, each above the one before. */
  lowers: readonly string[];
}

/** Entries of directories, by path. */
type Listed = Map<string, Map<string, Merged>>;
const LISTED_MAX = 32;

export class StoppedDisk implements Disposable {
  readonly #layers: Ext4Reader[] = [];
  readonly #root: Found[] = [];

  constructor({ name, disk, lowers }: StoppedDisks) {
    try {
      const upper = this.#open(disk);
      if (upper.info.needsRecovery) {
        throw new BangerError(
          "invalid_state",
          `Cannot read the disk of machine "${name}": it was not shut down cleanly`,
          { hint: `Start it: banger vm start ${name}` },
        );
      }
      this.#root.push({ reader: upper, file: upper.stat(UPPER) });
      for (const path of lowers.toReversed()) {
        const reader = this.#open(path);
        this.#root.push({ reader, file: reader.stat("/") });
      }
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  [Symbol.dispose](): void {
    for (const reader of this.#layers) reader.close();
  }

  /** In the format of guest/files/tarout.h. */
  async *tree(path: string): AsyncGenerator<Uint8Array> {
    const start = await this.#find(Buffer.from(bytesOfText(path)).toString("latin1"));
    if (start?.[0].file.type !== modes.DIRECTORY) throw absent(path);
    const pause = slices();
    let left = ENTRIES_MAX;
    const stack: { name: string; merged: Merged; depth: number }[] = [
      { name: "", merged: start, depth: 0 },
    ];
    for (let next = stack.pop(); next; next = stack.pop()) {
      const { name, merged, depth } = next;
      yield recordOf(name, merged[0]);
      if (merged[0].file.type !== modes.DIRECTORY) continue;
      if (depth > DEPTH_MAX) throw tooMuch(`directories nested more than ${DEPTH_MAX} levels deep`);
      for (const [child, below] of await entriesOf(merged)) {
        if (--left < 0) throw tooMuch(`more than ${ENTRIES_MAX} files`);
        stack.push({ name: `${name}/${child}`, merged: below, depth: depth + 1 });
      }
      await pause();
    }
  }

  /** Files and symlinks of a directory; missing ones are omitted. */
  async *archive(path: string, names: readonly string[]): AsyncGenerator<Uint8Array> {
    const pause = slices();
    const listed: Listed = new Map();
    for (const text of names) {
      const name = Buffer.from(bytesOfText(text));
      const folder = Buffer.from(bytesOfText(path)).toString("latin1");
      const found = await this.#find(`${folder}/${name.toString("latin1")}`, listed);
      if (found) yield* entryOf(name, found[0]);
      await pause();
    }
    yield TAR_END;
  }

  #open(path: string): Ext4Reader {
    const reader = openExt4(path);
    this.#layers.push(reader);
    return reader;
  }

  /** `listed`: directories that were read before, since many files of one are looked for. */
  async #find(path: string, listed: Listed = new Map()): Promise<Merged | undefined> {
    const [first, ...rest] = this.#root;
    let merged: Merged | undefined = first && [first, ...rest];
    let folder = "";
    for (const part of path.split("/")) {
      if (part === "" || part === ".") continue;
      if (merged?.[0].file.type !== modes.DIRECTORY) return undefined;
      const entries = listed.get(folder) ?? (await entriesOf(merged));
      if (listed.size >= LISTED_MAX && !listed.has(folder)) listed.clear();
      listed.set(folder, entries);
      merged = entries.get(part);
      folder = `${folder}/${part}`;
    }
    return merged;
  }
}

/** Entries of a directory as overlayfs merges them: files and whiteouts hide the same name in lower layers. */
async function entriesOf(merged: Merged): Promise<Map<string, Merged>> {
  const found = new Map<string, Found[]>();
  const closed = new Set<string>();
  for (const { reader, file } of merged) {
    for (const { name, inode } of await reader.entries(file, { max: ENTRIES_MAX })) {
      const key = Buffer.from(name).toString("latin1");
      if (closed.has(key)) continue;
      const entry = { reader, file: reader.inode(inode) };
      const isFolder = entry.file.type === modes.DIRECTORY;
      const parts = found.get(key);
      if (!isFolder || isOpaque(entry)) closed.add(key);
      if (isWhiteout(entry.file) || (parts && !isFolder)) continue;
      if (parts) parts.push(entry);
      else found.set(key, [entry]);
    }
  }
  const entries = new Map<string, Merged>();
  for (const [name, [first, ...rest]] of found) if (first) entries.set(name, [first, ...rest]);
  return entries;
}

function isWhiteout({ type, major, minor }: FileStat): boolean {
  return type === modes.CHARACTER && major === 0 && minor === 0;
}

function isOpaque({ reader, file }: Found): boolean {
  return reader.xattrs(file).some(({ name, value }) => {
    const key = Buffer.from(name).toString("latin1");
    return key === "trusted.overlay.opaque" && Buffer.from(value).toString() === "y";
  });
}

function recordOf(name: string, { reader, file }: Found): Uint8Array {
  const ns = String(file.mtime_ns).padStart(9, "0");
  const mode = (file.type | file.mode).toString(8);
  const record = `${mode} ${file.size} ${file.mtime_s}.${ns} ${name}\0`;
  if (file.type !== modes.SYMLINK) return Buffer.from(record, "latin1");
  const target = Buffer.from(reader.targetOf(file)).toString("latin1");
  return Buffer.from(`${record}${target}\0`, "latin1");
}

function* entryOf(name: Uint8Array, { reader, file }: Found): Generator<Uint8Array> {
  const { mode, uid, gid, mtime_s, mtime_ns } = file;
  const common = { name, mode, uid, gid, mtime_s, mtime_ns };
  if (file.type === modes.SYMLINK) {
    yield tarHeader({ ...common, type: "symlink", linkName: reader.targetOf(file), size: 0 });
  }
  if (file.type !== modes.REGULAR) return;
  yield tarHeader({ ...common, type: "file", size: file.size });
  let at = 0;
  for (const { offset, bytes } of reader.chunks(file)) {
    yield* zeros(offset - at);
    yield bytes;
    at = offset + bytes.length;
  }
  yield* zeros(file.size - at);
  yield tarPadding(file.size);
}

function* zeros(count: number): Generator<Uint8Array> {
  for (let left = count; left > 0; left -= CHUNK_BYTES) {
    yield new Uint8Array(Math.min(left, CHUNK_BYTES));
  }
}

function absent(path: string): BangerError {
  return new BangerError("not_found", `Cannot list "${path}": no such directory`);
}

function tooMuch(what: string): BangerError {
  return new BangerError("limit_exceeded", `Cannot read the machine's disk: it has ${what}`);
}
