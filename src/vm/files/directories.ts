/** Parent directories of an entry of a guest's archive, held open so that no symlink can be swapped in. */
import { closeSync, constants, fchmodSync, futimesSync, mkdirSync, openSync } from "node:fs";
import { errnoOf } from "#base/error.ts";
import { failed, printable, refused, tooMuch } from "./entry.ts";

const MAX_DEPTH = 512;
const OPEN_FOLDER = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;

export interface OpenFolder {
  fd: number;
  name: string;
  /** Made for this archive. */
  isNew?: boolean;
  /** Set last, when nothing more comes into the folder. */
  attributes?: { mode: number; mtime_s: number };
}

/** Names are latin1 text, one character for each byte. */
export class OpenFolders {
  readonly #folders: OpenFolder[];

  constructor(folder: string) {
    const fd = openSync(folder, constants.O_RDONLY | constants.O_DIRECTORY);
    this.#folders = [{ fd, name: "" }];
  }

  close(): void {
    while (this.#folders.length > 0) this.#leave();
  }

  /** The open folder of these parts; what is open and not on the way is left. */
  enter(parts: readonly string[], attributes?: OpenFolder["attributes"]): OpenFolder {
    assertDepth(parts);
    let same = 0;
    while (same < parts.length && this.#folders[same + 1]?.name === parts[same]) same++;
    while (this.#folders.length > same + 1) this.#leave();
    for (const name of parts.slice(same)) {
      const above = this.#folders.at(-1);
      if (!above) throw refused("no such directory");
      const path = below(above, name);
      const isNew = attempt(name, () => makeFolder(path));
      this.#folders.push({ fd: openFolder(path, name), isNew, name });
    }
    const folder = this.#folders.at(-1);
    if (!folder) throw refused("no such directory");
    if (attributes && folder.isNew) folder.attributes = attributes;
    return folder;
  }

  /**
   * A descriptor of the folder of these parts, which is the caller's to close. Nothing is left for it, since a folder
   * that is entered again would lose the time that it was given.
   */
  find(parts: readonly string[]): number {
    assertDepth(parts);
    const [top] = this.#folders;
    if (!top) throw refused("no such directory");
    let fd = openFolder(below(top, "."), "");
    for (const name of parts) {
      try {
        const next = openFolder(below({ fd }, name), name);
        closeSync(fd);
        fd = next;
      } catch (error) {
        closeSync(fd);
        throw error;
      }
    }
    return fd;
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

export function below(folder: { fd: number }, name: string): Buffer {
  return Buffer.from(`/proc/self/fd/${folder.fd}/${name}`, "latin1");
}

function assertDepth(parts: readonly string[]): void {
  if (parts.length > MAX_DEPTH) throw tooMuch(`more than ${MAX_DEPTH} nested directories`);
}

function attempt<T>(name: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw failed(name, error);
  }
}

function openFolder(path: Buffer, name: string): number {
  try {
    return openSync(path, OPEN_FOLDER);
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === "ELOOP" || errno === "ENOTDIR") {
      throw refused(`"${printable(name)}" is not a directory, and symbolic links are not followed`);
    }
    throw failed(name, error);
  }
}

/** False where there is something already. */
function makeFolder(path: Buffer): boolean {
  try {
    mkdirSync(path, 0o755);
    return true;
  } catch (error) {
    if (errnoOf(error) === "EEXIST") return false;
    throw error;
  }
}
