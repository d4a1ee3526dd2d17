/** Files of an image by path, for somebody who asks for many: directories are read once, not for each name in them. */

import { modes } from "#ext4/format.ts";
import type { FileStat } from "#ext4/read/inode.ts";
import type { Ext4Reader } from "#ext4/read/reader.ts";

const FOLDERS_KEPT = 64;

/** Paths are bytes in strings, relative to the root, and have no symbolic link above their last name. */
export class ImageFiles {
  readonly reader: Ext4Reader;
  /** Inodes by name, of the directories that were asked for last. */
  readonly #folders = new Map<string, ReadonlyMap<string, number>>();

  constructor(reader: Ext4Reader) {
    this.reader = reader;
  }

  stat(path: string): FileStat | undefined {
    if (path === "") return this.reader.stat("");
    const slash = path.lastIndexOf("/");
    const inode = this.#names(path.slice(0, Math.max(0, slash)))?.get(path.slice(slash + 1));
    return inode === undefined ? undefined : this.reader.inode(inode);
  }

  /** Names in a directory, in the order of their bytes. */
  list(folder: string): string[] {
    const names = [...(this.#names(folder)?.keys() ?? [])];
    return names.sort((a, b) => (a < b ? -1 : 1));
  }

  #names(folder: string): ReadonlyMap<string, number> | undefined {
    const known = this.#folders.get(folder);
    this.#folders.delete(folder);
    const names = known ?? this.#read(folder);
    if (!names) return undefined;
    this.#folders.set(folder, names);
    const [oldest] = this.#folders.keys();
    if (this.#folders.size > FOLDERS_KEPT && oldest !== undefined) this.#folders.delete(oldest);
    return names;
  }

  #read(folder: string): ReadonlyMap<string, number> | undefined {
    if (this.stat(folder)?.type !== modes.DIRECTORY) return undefined;
    const entries = this.reader.list(Buffer.from(folder, "latin1"));
    return new Map(entries.map(({ name, inode }) => [Buffer.from(name).toString("latin1"), inode]));
  }
}
