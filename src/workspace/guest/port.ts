/** The file operations a workspace needs in a machine; tests implement it with a directory of the host. */

export interface TreeEntry {
  /** Relative, as bytes; "" is the directory itself. */
  name: string;
  /** With the file's type, as stat(2) has it. */
  mode: number;
  size: number;
  mtime_s: number;
  mtime_ns: number;
  /** Of a symlink, as bytes. */
  target: string | undefined;
}

export interface GuestPort {
  /** The records of guest/files/tarout.h; undefined if there is no such directory. */
  tree(path: string): Promise<AsyncIterable<Uint8Array> | undefined>;
  /** Some files and symlinks of a directory as a tar archive; those that are gone are left out. */
  archive(path: string, names: readonly string[]): AsyncIterable<Uint8Array>;
  /** Extracts a tar archive below a directory, which is made if it is missing. */
  extract(path: string, chunks: AsyncIterable<Uint8Array>): Promise<void>;
  /** Removes a file or tree of a directory, by its name. Succeeds if it does not exist. */
  remove(path: string, name: string): Promise<void>;
  /** Creates the directory and missing parents. */
  mkdir(path: string): Promise<void>;
}

export const TYPE_MASK = 0o170000;
export const TYPE_FILE = 0o100000;
export const TYPE_DIRECTORY = 0o040000;
export const TYPE_SYMLINK = 0o120000;

export function typeOf({ mode }: Pick<TreeEntry, "mode">): number {
  return mode & TYPE_MASK;
}
