/** The file operations a workspace needs in a machine; tests implement it with a directory of the host. */

export { type TreeEntry, TYPE_DIRECTORY, typeOf } from "#base/files/tree-records.ts";

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
