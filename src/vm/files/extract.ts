/**
 * A tar archive of a guest onto the host's disk. The archive is hostile: only what was asked for is
 * written, no symlink is followed, no device is made, owners, set-id bits and extended attributes are
 * not taken over, and directories that exist keep their mode. Every step goes through a directory that
 * is already open, by way of /proc/self/fd, so that nobody can put a symlink in the way meanwhile. A
 * file replaces the one that is there when it is whole.
 */
import { randomBytes } from "node:crypto";
import {
  closeSync,
  constants,
  fchmodSync,
  ftruncateSync,
  futimesSync,
  linkSync,
  lstatSync,
  lutimesSync,
  openSync,
  renameSync,
  statfsSync,
  symlinkSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { throwIfAborted } from "#base/abort.ts";
import { BangerError } from "#base/error.ts";
import type { TarEntry } from "#tar/entry.ts";
import { TarReader } from "#tar/reader.ts";
import { below, OpenFolders } from "./directories.ts";
import { attempt, partsOf, refused, shown, timeOf, tooMuch } from "./entry.ts";
import { type Expected, ExpectedEntries } from "./expected.ts";

const MAX_ENTRIES = 10_000_000;
const MAX_SHOWN_SKIPPED = 100;
const PERMISSIONS = 0o777;
const CREATE_FILE =
  constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;

export interface ExtractOptions {
  signal?: AbortSignal | undefined;
  /** What was asked for. */
  expected: Expected;
  /** Of a single file: the size that the guest says it has now. One that is larger is `limit_exceeded`. */
  measure?: (() => Promise<number>) | undefined;
  onProgress?: ((done_bytes: number) => void) | undefined;
}

export interface ExtractResult {
  entries: number;
  size_bytes: number;
  /** Devices, pipes and the like, which are not made: their number, and the names of the first hundred. */
  skipped: number;
  skippedNames: string[];
}

/**
 * Extracts below `folder`, which exists. Fails with `invalid_argument` for an archive that would leave it, with
 * `guest` for one with something else in it than `expected`, and with `no_space` for more than is free.
 */
export async function extractTar(
  source: AsyncIterable<Uint8Array>,
  folder: string,
  options: ExtractOptions,
): Promise<ExtractResult> {
  const { expected, measure, signal, onProgress } = options;
  const extractor = new Extractor(folder, expected);
  const reader = new TarReader(extractor);
  let allowed_bytes = measure ? 0 : Number.POSITIVE_INFINITY;
  // Asked after the file was opened: one that grows has had this size, one that is lied about has not.
  const limit = async (bytes: number): Promise<void> => {
    if (bytes > allowed_bytes && measure) allowed_bytes = await measure();
    if (bytes > allowed_bytes) throw tooMuch(`${bytes} bytes, and the file ${allowed_bytes}`);
  };
  try {
    for await (const chunk of source) {
      throwIfAborted(signal);
      reader.push(chunk);
      await limit(extractor.keptSize_bytes);
      onProgress?.(extractor.result.size_bytes);
    }
    reader.finish();
    extractor.finish();
  } finally {
    extractor.close();
  }
  return extractor.result;
}

interface OpenFile {
  fd: number;
  entry: TarEntry;
  /** Of the file that becomes `base` in this directory when it is whole. */
  path: Buffer;
  target: Buffer;
}

/** Names are kept as latin1 text, one character for each byte, so that any bytes survive. */
class Extractor {
  readonly result: ExtractResult = { entries: 0, size_bytes: 0, skipped: 0, skippedNames: [] };
  readonly #expected: ExpectedEntries;
  readonly #free_bytes: number;
  readonly #folders: OpenFolders;
  /** What comes has this name first. */
  readonly #temporary = `.banger-${randomBytes(8).toString("hex")}`;
  #file: OpenFile | undefined;

  constructor(folder: string, expected: Expected) {
    this.#expected = new ExpectedEntries(expected);
    this.#folders = new OpenFolders(folder);
    this.#free_bytes = freeSpace_bytes(folder);
  }

  /** Of a single file, as the archive has it, until finish(). */
  get keptSize_bytes(): number {
    return this.#file?.entry.size ?? 0;
  }

  entry(entry: TarEntry): void {
    if (++this.result.entries > MAX_ENTRIES) throw tooMuch(`more than ${MAX_ENTRIES} entries`);
    const parts = partsOf(entry.name);
    const base = parts.at(-1);
    if (base === undefined) {
      // The folder itself is the user's: it stays as it is.
      if (entry.type === "directory" && !this.#expected.isSingle) return;
      throw refused("an entry has no name");
    }
    this.#expected.admit(entry.type, { parts, shown: shown(entry.name) });
    switch (entry.type) {
      case "directory":
        this.#folders.enter(parts, {
          mode: entry.mode & PERMISSIONS,
          mtime_s: timeOf(entry),
        });
        return;
      case "file":
        this.#openFile(parts, base, entry);
        return;
      case "symlink":
        this.#makeSymlink(parts, base, entry);
        return;
      case "link":
        this.#makeLink(parts, base, entry);
        return;
      default:
        this.result.skipped++;
        if (this.result.skippedNames.length < MAX_SHOWN_SKIPPED) {
          this.result.skippedNames.push(shown(entry.name));
        }
    }
  }

  data(bytes: Uint8Array, offset: number): void {
    const file = this.#file;
    if (!file) return;
    this.result.size_bytes += bytes.length;
    if (this.result.size_bytes > this.#free_bytes) {
      throw new BangerError(
        "no_space",
        `Cannot extract the guest's archive: no space left on device, ${this.#free_bytes} bytes were free`,
      );
    }
    attempt(file.entry, () => {
      for (let at = 0; at < bytes.length; ) {
        at += writeSync(file.fd, bytes, at, bytes.length - at, offset + at);
      }
    });
  }

  /** A single file stays open until the whole archive was seen. */
  end(): void {
    if (!this.#expected.isSingle) this.#finishFile();
  }

  /** The archive is whole. */
  finish(): void {
    this.#expected.finish();
    this.#finishFile();
  }

  close(): void {
    if (this.#file) discard(this.#file);
    this.#file = undefined;
    this.#folders.close();
  }

  #openFile(parts: string[], base: string, entry: TarEntry): void {
    const folder = this.#folders.enter(parts.slice(0, -1));
    const path = below(folder, this.#temporary);
    const fd = attempt(entry, () => openSync(path, CREATE_FILE, 0o600));
    const kept = { ...entry, name: Uint8Array.from(entry.name) };
    this.#file = { fd, entry: kept, path, target: below(folder, base) };
  }

  #finishFile(): void {
    const file = this.#file;
    if (!file) return;
    const { fd, entry, path, target } = file;
    assertReplaceable(entry, target);
    attempt(entry, () => {
      ftruncateSync(fd, entry.size);
      fchmodSync(fd, entry.mode & PERMISSIONS);
      futimesSync(fd, timeOf(entry), timeOf(entry));
      renameSync(path, target);
    });
    this.#file = undefined;
    closeSync(fd);
  }

  #makeSymlink(parts: string[], base: string, entry: TarEntry): void {
    const folder = this.#folders.enter(parts.slice(0, -1));
    const path = below(folder, this.#temporary);
    place(entry, { path, target: below(folder, base) }, () => {
      symlinkSync(Buffer.from(entry.linkName), path);
      lutimesSync(path, timeOf(entry), timeOf(entry));
    });
  }

  /** Another name for a file below the same folder; link(2) does not follow a symlink. */
  #makeLink(parts: string[], base: string, entry: TarEntry): void {
    const from = partsOf(entry.linkName);
    const first = from.at(-1);
    if (first === undefined) throw refused("a link has no target");
    this.#expected.admitName(from, shown(entry.linkName));
    if (from.join("/") === parts.join("/")) return;
    const fd = this.#folders.find(from.slice(0, -1));
    try {
      const folder = this.#folders.enter(parts.slice(0, -1));
      const path = below(folder, this.#temporary);
      place(entry, { path, target: below(folder, base) }, () =>
        linkSync(below({ fd }, first), path),
      );
    } finally {
      closeSync(fd);
    }
  }
}

/** `make` makes `path`, which then replaces what is at `target`, unless that is a directory. */
function place(entry: TarEntry, at: { path: Buffer; target: Buffer }, make: () => void): void {
  try {
    assertReplaceable(entry, at.target);
    attempt(entry, () => {
      make();
      renameSync(at.path, at.target);
    });
  } finally {
    // Also where both are names of the same file already: rename(2) then leaves both.
    removeQuietly(at.path);
  }
}

/** Programs rely on a device, FIFO or socket: `/dev/null` must not become a file. */
function assertReplaceable(entry: TarEntry, target: Buffer): void {
  const found = lstatSync(target, { throwIfNoEntry: false });
  if (!found || found.isFile() || found.isSymbolicLink() || found.isDirectory()) return;
  throw refused(`${shown(entry.name)} exists on the host and is not a regular file`);
}

function discard({ fd, path }: OpenFile): void {
  closeSync(fd);
  removeQuietly(path);
}

function removeQuietly(path: Buffer): void {
  try {
    unlinkSync(path);
  } catch {
    // Renamed, or never made.
  }
}

/** For ordinary users: what is kept for root stays free, whoever the daemon is. */
function freeSpace_bytes(folder: string): number {
  const { bavail, bsize } = statfsSync(folder);
  return bavail * bsize;
}
