/**
 * A tar archive of a guest onto the host's disk. The archive is hostile: nothing is written outside of
 * the folder, no symlink is followed, no device is made, owners, set-id bits and extended attributes
 * are not taken over. Every step goes through a folder that is already open, by way of /proc/self/fd,
 * so that nobody can put a symlink in the way meanwhile.
 */
import {
  closeSync,
  constants,
  fchmodSync,
  ftruncateSync,
  futimesSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  openSync,
  symlinkSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { BangerError, type ErrorCode, errnoOf, throwIfAborted } from "#base/error.ts";
import { TarReader } from "#oci/tar.ts";
import type { TarEntry } from "#oci/tar-entry.ts";

const MAX_ENTRIES = 10_000_000;
const MAX_DEPTH = 512;
const MAX_SHOWN_SKIPPED = 100;
const PERMISSIONS = 0o777;
const OPEN_FOLDER = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
const CREATE_FILE =
  constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;

export interface ExtractOptions {
  signal?: AbortSignal | undefined;
  /** Data of all files together; more is `limit_exceeded`. Default: what the disk takes. */
  max_bytes?: number | undefined;
  onProgress?: ((done_bytes: number) => void) | undefined;
}

export interface ExtractResult {
  entries: number;
  size_bytes: number;
  /** Devices, pipes and the like, which are not made: their number, and the names of the first hundred. */
  skipped: number;
  skippedNames: string[];
}

/** Extracts below `folder`, which exists. Fails with `invalid_argument` for an archive that would leave it. */
export async function extractTar(
  source: AsyncIterable<Uint8Array>,
  folder: string,
  options: ExtractOptions = {},
): Promise<ExtractResult> {
  const extractor = new Extractor(folder, options.max_bytes ?? Number.POSITIVE_INFINITY);
  const reader = new TarReader(extractor);
  try {
    for await (const chunk of source) {
      throwIfAborted(options.signal);
      reader.push(chunk);
      options.onProgress?.(extractor.result.size_bytes);
    }
    reader.finish();
  } finally {
    extractor.close();
  }
  return extractor.result;
}

interface OpenFolder {
  fd: number;
  name: string;
  /** Set last, when nothing more comes into the folder. */
  attributes?: { mode: number; mtime_s: number };
}

/** Names are kept as latin1 text, one character for each byte, so that any bytes survive. */
class Extractor {
  readonly result: ExtractResult = { entries: 0, size_bytes: 0, skipped: 0, skippedNames: [] };
  readonly #max_bytes: number;
  readonly #folders: OpenFolder[];
  #file: { fd: number; entry: TarEntry } | undefined;

  constructor(folder: string, max_bytes: number) {
    this.#max_bytes = max_bytes;
    const fd = openSync(folder, constants.O_RDONLY | constants.O_DIRECTORY);
    this.#folders = [{ fd, name: "" }];
  }

  entry(entry: TarEntry): void {
    if (++this.result.entries > MAX_ENTRIES) throw tooMuch(`more than ${MAX_ENTRIES} entries`);
    const parts = partsOf(entry.name);
    const base = parts.at(-1);
    if (base === undefined) {
      // The folder itself is the user's: it stays as it is.
      if (entry.type === "directory") return;
      throw refused("an entry has no name");
    }
    switch (entry.type) {
      case "directory":
        this.#enter(parts, "make").attributes = attributesOf(entry);
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
    if (this.result.size_bytes > this.#max_bytes)
      throw tooMuch(`more than ${this.#max_bytes} bytes`);
    attempt(file.entry, () => {
      for (let at = 0; at < bytes.length; ) {
        at += writeSync(file.fd, bytes, at, bytes.length - at, offset + at);
      }
    });
  }

  end(): void {
    const file = this.#file;
    if (!file) return;
    this.#file = undefined;
    try {
      ftruncateSync(file.fd, file.entry.size);
      fchmodSync(file.fd, file.entry.mode & PERMISSIONS);
      futimesSync(file.fd, timeOf(file.entry), timeOf(file.entry));
    } finally {
      closeSync(file.fd);
    }
  }

  close(): void {
    if (this.#file) closeSync(this.#file.fd);
    this.#file = undefined;
    while (this.#folders.length > 0) this.#leave();
  }

  #openFile(parts: string[], base: string, entry: TarEntry): void {
    const folder = this.#enter(parts.slice(0, -1), "make");
    makeWay(folder, base, entry);
    const fd = attempt(entry, () => openSync(below(folder, base), CREATE_FILE, 0o600));
    this.#file = { fd, entry: { ...entry, name: Uint8Array.from(entry.name) } };
  }

  #makeSymlink(parts: string[], base: string, entry: TarEntry): void {
    const folder = this.#enter(parts.slice(0, -1), "make");
    makeWay(folder, base, entry);
    const path = below(folder, base);
    attempt(entry, () => symlinkSync(Buffer.from(entry.linkName), path));
    lutimesSync(path, timeOf(entry), timeOf(entry));
  }

  /** Another name for a file below the same folder; link(2) does not follow a symlink. */
  #makeLink(parts: string[], base: string, entry: TarEntry): void {
    const from = partsOf(entry.linkName);
    const first = from.at(-1);
    if (first === undefined) throw refused("a link has no target");
    if (from.join("/") === parts.join("/")) return;
    const source = this.#enter(from.slice(0, -1), "find");
    const fd = openSync(below(source, "."), constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      const folder = this.#enter(parts.slice(0, -1), "make");
      makeWay(folder, base, entry);
      attempt(entry, () => linkSync(below({ fd }, first), below(folder, base)));
    } finally {
      closeSync(fd);
    }
  }

  /** The open folder of these parts; what is open and not on the way is left. */
  #enter(parts: readonly string[], missing: "make" | "find"): OpenFolder {
    if (parts.length > MAX_DEPTH) throw tooMuch(`more than ${MAX_DEPTH} folders in one another`);
    let same = 0;
    while (same < parts.length && this.#folders[same + 1]?.name === parts[same]) same++;
    while (this.#folders.length > same + 1) this.#leave();
    for (const name of parts.slice(same)) {
      const above = this.#folders.at(-1);
      if (!above) throw refused("there is no folder");
      this.#folders.push({ fd: openFolder(above, name, missing), name });
    }
    const folder = this.#folders.at(-1);
    if (!folder) throw refused("there is no folder");
    return folder;
  }

  #leave(): void {
    const folder = this.#folders.pop();
    if (!folder) return;
    try {
      if (folder.attributes) {
        fchmodSync(folder.fd, folder.attributes.mode);
        futimesSync(folder.fd, folder.attributes.mtime_s, folder.attributes.mtime_s);
      }
    } catch {
      // A folder that was there before may be another user's.
    } finally {
      closeSync(folder.fd);
    }
  }
}

function openFolder(above: OpenFolder, name: string, missing: "make" | "find"): number {
  const path = below(above, name);
  try {
    if (missing === "make") {
      try {
        mkdirSync(path, 0o755);
      } catch (error) {
        if (errnoOf(error) !== "EEXIST") throw error;
      }
    }
    return openSync(path, OPEN_FOLDER);
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === "ELOOP" || errno === "ENOTDIR") {
      throw refused(`"${printable(name)}" is no folder, and symlinks are not followed`);
    }
    throw failed(name, error);
  }
}

/** Takes away what is in the place of an entry, unless it is a folder. */
function makeWay(folder: OpenFolder, base: string, entry: TarEntry): void {
  try {
    unlinkSync(below(folder, base));
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw failed(shown(entry.name), error);
  }
}

function attempt<T>(entry: TarEntry, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw failed(shown(entry.name), error);
  }
}

function below(folder: { fd: number }, name: string): Buffer {
  return Buffer.from(`/proc/self/fd/${folder.fd}/${name}`, "latin1");
}

/** Without what means nothing; ".." is refused, and a leading slash is the folder. */
function partsOf(name: Uint8Array): string[] {
  const parts = Buffer.from(name)
    .toString("latin1")
    .split("/")
    .filter((part) => part !== "" && part !== ".");
  if (parts.includes("..")) throw refused(`${shown(name)} leads out of the folder`);
  if (parts.some((part) => part.includes("\0"))) throw refused("a name holds NUL");
  return parts;
}

function attributesOf(entry: TarEntry): { mode: number; mtime_s: number } {
  return { mode: entry.mode & PERMISSIONS, mtime_s: timeOf(entry) };
}

function timeOf(entry: TarEntry): number {
  return entry.mtime_s + entry.mtime_ns / 1e9;
}

function shown(name: Uint8Array): string {
  return `"${printable(Buffer.from(name).toString("utf8"))}"`;
}

function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it takes out
  return text.slice(0, 200).replace(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, "�");
}

function refused(detail: string): BangerError {
  return new BangerError("invalid_argument", `Cannot extract the guest's archive: ${detail}`);
}

function tooMuch(detail: string): BangerError {
  return new BangerError("limit_exceeded", `Cannot extract the guest's archive: it has ${detail}`);
}

const codes: Readonly<Record<string, ErrorCode>> = {
  EACCES: "permission_denied",
  EPERM: "permission_denied",
  ENOENT: "not_found",
  ENOSPC: "no_space",
  EDQUOT: "no_space",
};

function failed(name: string, error: unknown): BangerError {
  const errno = errnoOf(error) ?? "unknown";
  return new BangerError(
    codes[errno] ?? "internal",
    `Cannot extract ${name} of the guest's archive: ${errno}`,
    { cause: error },
  );
}
