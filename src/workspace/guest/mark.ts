/**
 * A file in the machine that names the state it was in when a mirror last ended a round, as the host's record does. A
 * machine that was killed loses what its kernel had not written yet, and one that was set back to a snapshot has older
 * files: both have another mark, or none, and what is missing there was not removed by anyone.
 *
 * The mark is written after the files, under a new name and with content, so that its kernel writes it after theirs: one
 * without its content counts as missing.
 */
import { type TreeEntry, TYPE_DIRECTORY, TYPE_FILE, typeOf } from "#base/files/tree-records.ts";
import type { TarItem } from "#workspace/in/tar-out.ts";

const PREFIX = ".banger-mark-";
const BYTES = 4096;

export function newMark(): string {
  return crypto.randomUUID();
}

/** Below the top of the workspace; in the repository, where git does not list it, if there is one. */
export function markItem(mark: string, isRepository: boolean): TarItem {
  const name = `${isRepository ? ".git/" : ""}${PREFIX}${mark}`;
  return { kind: "bytes", name, bytes: new Uint8Array(BYTES) };
}

export function isMark(name: string): boolean {
  return name.startsWith(PREFIX) || name.startsWith(`.git/${PREFIX}`);
}

export function isRepositoryTree(tree: ReadonlyMap<string, TreeEntry>): boolean {
  const entry = tree.get(".git");
  return entry !== undefined && typeOf(entry) === TYPE_DIRECTORY;
}

/** Names of all marks; those that are whole are also in `marks`. */
export function marksIn(tree: ReadonlyMap<string, TreeEntry>): {
  names: string[];
  marks: ReadonlySet<string>;
} {
  const names = [...tree.keys()].filter(isMark);
  const whole = names.filter((name) => {
    const entry = tree.get(name);
    return entry && typeOf(entry) === TYPE_FILE && entry.size === BYTES;
  });
  const marks = whole.map((name) => name.slice(name.indexOf(PREFIX) + PREFIX.length));
  return { names, marks: new Set(marks) };
}
