/** Looks up files of an image by path, with a cache of directories. */

import { modes } from "#ext4/format.ts";
import type { FileStat } from "#ext4/read/inode.ts";
import type { Ext4Reader } from "#ext4/read/reader.ts";

const FOLDERS_KEPT = 64;

/** Paths are bytes in strings, relative to the root, without symbolic links in their parent directories. */
export class ImageFiles {
  readonly reader: Ext4Reader;
  /** Cache of recent directories: inodes by name. */
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

  /** Names in a directory, sorted by bytes. */
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
