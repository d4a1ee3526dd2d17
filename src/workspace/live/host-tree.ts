/**
 * Writes what comes from a machine into the user's tree. Every directory on the way is opened without following
 * symlinks, and the next step goes through that descriptor, so that nothing is written elsewhere, whatever is swapped
 * in meanwhile. A file is replaced when it is whole, and only if it still is as it was compared.
 */
import {
  closeSync,
  constants,
  copyFileSync,
  fchmodSync,
  futimesSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  renameSync,
  rmdirSync,
  symlinkSync,
  unlinkSync,
} from "node:fs";
import { join } from "node:path";
import { errnoOf } from "#base/error.ts";
import { type TreeEntry, TYPE_FILE, TYPE_SYMLINK, typeOf } from "#base/files/tree-records.ts";
import { isGitDirectory } from "#workspace/git/index-file.ts";
import { HostView } from "#workspace/in/host-files.ts";
import { parentOf, toBytes } from "#workspace/names.ts";
import { signatureOf } from "#workspace/record.ts";
import { stagingName } from "#workspace/staging.ts";

const OPEN_FOLDER = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
const DEPTH_MAX = 512;

/** A file of the machine, complete on the host. */
export interface Staged {
  /** Undefined for a symlink. */
  path: string | undefined;
  entry: TreeEntry;
}

/** "changed": it is not as it was compared, which the next comparison sees. */
export type Outcome = "done" | "changed" | "refused";

export class HostTree {
  readonly #top: string;
  readonly #staging: string | undefined;

  /** `staging`: a directory for files before they are complete; undefined: beside their places. */
  constructor(top: string, staging?: string) {
    this.#top = top;
    this.#staging = staging;
  }

  /** `expected`: signature of what is there; undefined if there is nothing. */
  write(name: string, staged: Staged, expected: string | undefined): Outcome {
    return this.#in(name, { makes: true }, (folder, base) => {
      const target = below(folder, base);
      const old = lstatSync(target, { throwIfNoEntry: false });
      if (this.#signature(name) !== expected) return "changed";
      if (old && !old.isFile() && !old.isSymbolicLink()) return "refused";
      const beside = below(folder, stagingName("sync"));
      const first = this.#staging && Buffer.from(join(this.#staging, stagingName("sync")));
      const own = { staged, target, old_mode: old?.mode };
      // The place may be on another file system.
      if (!first || !put(first, own)) put(beside, { ...own, isLast: true });
      return "done";
    });
  }

  remove(name: string, expected: string | undefined): Outcome {
    const outcome = this.#in(name, { makes: false }, (folder, base) => {
      if (this.#signature(name) !== expected) return "changed";
      unlinkSync(below(folder, base));
      return "done";
    });
    if (outcome === "done") this.#removeEmpty(parentOf(name));
    return outcome;
  }

  /** Gives the file a name beside, in the same directory or a new one. */
  keep(name: string, as: string): Outcome {
    return this.#in(name, { makes: false }, (from, base) =>
      this.#in(as, { makes: true }, (to, other) => {
        linkSync(below(from, base), below(to, other));
        unlinkSync(below(from, base));
        return "done";
      }),
    );
  }

  #signature(name: string): string | undefined {
    const entry = new HostView(this.#top).lstat(name);
    const type = entry && typeOf(entry);
    return entry && (type === TYPE_FILE || type === TYPE_SYMLINK) ? signatureOf(entry) : undefined;
  }

  #removeEmpty(folder: string): void {
    for (let at = folder; at !== ""; at = parentOf(at)) {
      const outcome = this.#in(at, { makes: false }, (parent, base) => {
        rmdirSync(below(parent, base));
        return "done";
      });
      if (outcome !== "done") return;
    }
  }

  /** `work` gets the open parent directory of `name`, and the last part of it. */
  #in(
    name: string,
    { makes }: { makes: boolean },
    work: (folder: number, base: string) => Outcome,
  ): Outcome {
    const parts = name.split("/");
    const base = parts.pop() ?? "";
    const isBad = (part: string): boolean => /^\.{0,2}$/.test(part) || isGitDirectory(part);
    if (parts.length > DEPTH_MAX || isBad(base) || parts.some(isBad)) return "refused";
    let folder = openSync(this.#top, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      for (const part of parts) {
        const next = enter(below(folder, part), makes);
        closeSync(folder);
        folder = next;
      }
      return work(folder, base);
    } catch (error) {
      if (REFUSALS.has(errnoOf(error) ?? "")) return "refused";
      throw error;
    } finally {
      closeSync(folder);
    }
  }
}

/** What is in the way, or what the user may not change. */
const REFUSALS = new Set(
  "ELOOP ENOTDIR EISDIR ENOTEMPTY EEXIST ENOENT EACCES EPERM ENAMETOOLONG EROFS EXDEV".split(" "),
);

function enter(path: Buffer, makes: boolean): number {
  try {
    return openSync(path, OPEN_FOLDER);
  } catch (error) {
    if (!makes || errnoOf(error) !== "ENOENT") throw error;
    mkdirSync(path);
    return openSync(path, OPEN_FOLDER);
  }
}

/** Makes the file under another name, and renames it into place; false if that is on another file system. */
function put(
  staging: Buffer,
  input: { staged: Staged; target: Buffer; old_mode: number | undefined; isLast?: boolean },
): boolean {
  const { staged, target, old_mode, isLast } = input;
  try {
    if (staged.path === undefined) makeLink(staged.entry, staging);
    else copy(staged.path, { staging, entry: staged.entry, old_mode });
    renameSync(staging, target);
    return true;
  } catch (error) {
    if (isLast || errnoOf(error) !== "EXDEV") throw error;
    return false;
  } finally {
    removeQuietly(staging);
  }
}

function copy(
  from: string,
  { staging, entry, old_mode }: { staging: Buffer; entry: TreeEntry; old_mode: number | undefined },
): void {
  copyFileSync(from, staging, constants.COPYFILE_EXCL);
  const fd = openSync(staging, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    fchmodSync(fd, hostMode(entry.mode, old_mode));
    const time = entry.mtime_s + entry.mtime_ns / 1e9;
    futimesSync(fd, time, time);
  } finally {
    closeSync(fd);
  }
}

function makeLink(entry: TreeEntry, staging: Buffer): void {
  symlinkSync(toBytes(entry.target ?? ""), staging);
}

/** Of the mode, only the executable bit comes from the machine. */
export function hostMode(wanted: number, old: number | undefined): number {
  const before = old === undefined ? 0o666 & ~process.umask() : old & 0o777;
  return wanted & 0o100 ? before | ((before & 0o444) >> 2) : before & ~0o111;
}

function below(folder: number, name: string): Buffer {
  return Buffer.from(`/proc/self/fd/${folder}/${name}`, "latin1");
}

function removeQuietly(path: Buffer): void {
  try {
    unlinkSync(path);
  } catch {
    // Renamed, or never made.
  }
}
