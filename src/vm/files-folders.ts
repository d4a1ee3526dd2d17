/** The directories on the way to an entry of a guest's archive, open so that no symlink can come in between. */
import { closeSync, constants, fchmodSync, futimesSync, mkdirSync, openSync } from "node:fs";
import { errnoOf } from "#base/error.ts";
import { failed, printable, refused, tooMuch } from "./files-entry.ts";

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
  enter(
    parts: readonly string[],
    missing: "make" | "find",
    attributes?: OpenFolder["attributes"],
  ): OpenFolder {
    if (parts.length > MAX_DEPTH) throw tooMuch(`more than ${MAX_DEPTH} folders in one another`);
    let same = 0;
    while (same < parts.length && this.#folders[same + 1]?.name === parts[same]) same++;
    while (this.#folders.length > same + 1) this.#leave();
    for (const name of parts.slice(same)) {
      const above = this.#folders.at(-1);
      if (!above) throw refused("there is no folder");
      this.#folders.push({ ...openFolder(above, name, missing), name });
    }
    const folder = this.#folders.at(-1);
    if (!folder) throw refused("there is no folder");
    if (attributes && folder.isNew) folder.attributes = attributes;
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

export function below(folder: { fd: number }, name: string): Buffer {
  return Buffer.from(`/proc/self/fd/${folder.fd}/${name}`, "latin1");
}

function openFolder(
  above: OpenFolder,
  name: string,
  missing: "make" | "find",
): { fd: number; isNew: boolean } {
  const path = below(above, name);
  try {
    const isNew = missing === "make" && makeFolder(path);
    return { fd: openSync(path, OPEN_FOLDER), isNew };
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === "ELOOP" || errno === "ENOTDIR") {
      throw refused(`"${printable(name)}" is no folder, and symlinks are not followed`);
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
