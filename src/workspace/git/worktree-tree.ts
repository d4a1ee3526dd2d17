/** Working trees as objects: blobs of files as they are, and a tree of them, in a store beside the repository's. */
import { createHash } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { deflateSync } from "node:zlib";
import { type TreeEntry, TYPE_SYMLINK, typeOf } from "#base/files/tree-records.ts";
import { type Git, git, gitError, gitOk } from "./git.ts";
import { type IndexEntry, isFresh } from "./index-file.ts";

export const SUBMODULE = 0o160000;
const IDENTITY = "banger <banger@localhost>";

/** A path in a tree. */
export interface TreeFile {
  name: string;
  mode: number;
  id: string;
}

/** Splits files into those unchanged since the index, and those whose content must be read. */
export function compareWithIndex(
  files: readonly TreeEntry[],
  index: readonly IndexEntry[],
  written_s: number,
): { clean: TreeFile[]; changed: TreeEntry[] } {
  const entries = new Map<string, IndexEntry>();
  for (const entry of index) if (entry.stage === 0) entries.set(entry.name, entry);
  const clean: TreeFile[] = [];
  const changed: TreeEntry[] = [];
  for (const file of files) {
    const entry = entries.get(file.name);
    const isClean = entry && !entry.isIntentToAdd && isFresh(entry, file, written_s);
    if (isClean) clean.push({ name: file.name, mode: entry.mode, id: entry.id });
    else changed.push(file);
  }
  return { clean, changed };
}

/**
 * Tree entries without a file in the working tree: skip-worktree files and submodules. `commitOf`: the commit that a
 * submodule is at; undefined if its directory is gone.
 */
export function keptEntries(
  index: readonly IndexEntry[],
  present: ReadonlySet<string>,
  commitOf: (submodule: IndexEntry) => string | undefined,
): TreeFile[] {
  const kept: TreeFile[] = [];
  for (const entry of index) {
    const { name, mode, isSkipped } = entry;
    if (entry.stage !== 0 || present.has(name)) continue;
    const id = mode === SUBMODULE && !isSkipped ? commitOf(entry) : entry.id;
    if ((isSkipped || mode === SUBMODULE) && id !== undefined) kept.push({ name, mode, id });
  }
  return kept;
}

/**
 * Writes files of `top` as blobs into a scratch repository. Line ends and encodings are converted as git does it; the
 * repository has no configuration that names a filter.
 */
export async function writeBlobs(
  own: Git,
  files: readonly TreeEntry[],
  { top, hash }: { top: string; hash: "sha1" | "sha256" },
): Promise<TreeFile[]> {
  const links = files.filter((file) => typeOf(file) === TYPE_SYMLINK);
  const regular = files.filter((file) => typeOf(file) !== TYPE_SYMLINK);
  const made = links.map(({ name, target = "" }): TreeFile => {
    const id = writeObject(join(own.gitDir, "objects"), Buffer.from(target, "latin1"), {
      kind: "blob",
      hash,
    });
    return { name, mode: 0o120000, id };
  });
  if (regular.length === 0) return made;
  const stdin = `${regular.map(({ name }) => quoted(name)).join("\n")}\n`;
  const args = ["hash-object", "-w", "--stdin-paths"];
  const there = { ...own, workTree: top };
  // A file that is not valid in its declared encoding is stored unconverted.
  const first = await git(there, args, { stdin });
  const stdout =
    first.exitCode === 0
      ? first.stdout
      : await gitOk(there, [...args, "--no-filters"], {
          stdin,
          what: `Cannot read files of "${top}"`,
        });
  const ids = stdout.split("\n");
  for (const [at, { name, mode }] of regular.entries()) {
    made.push({ name, mode: mode & 0o100 ? 0o100755 : 0o100644, id: ids[at] ?? "" });
  }
  return made;
}

/** `indexFile`: a path for a new index. */
export async function writeTree(
  own: Git,
  files: readonly TreeFile[],
  indexFile: string,
): Promise<string> {
  const scratch = { ...own, indexFile };
  const what = "Cannot write a tree of the workspace";
  const lines = files.map(({ name, mode, id }) => `${mode.toString(8)} ${id} 0\t${name}\0`);
  const added = await git(scratch, ["update-index", "-z", "--add", "--index-info"], {
    stdin: lines.join(""),
  });
  if (added.exitCode !== 0) throw gitError(what, added);
  return (await gitOk(scratch, ["write-tree", "--missing-ok"], { what })).trim();
}

export async function writeCommit(
  own: Git,
  commit: { tree: string; parents: readonly string[]; message: string },
): Promise<string> {
  const [name = "", email = ""] = IDENTITY.split(/ <|>/);
  const args = ["commit-tree", commit.tree, ...commit.parents.flatMap((id) => ["-p", id])];
  const env = {
    GIT_AUTHOR_NAME: name,
    GIT_AUTHOR_EMAIL: email,
    GIT_COMMITTER_NAME: name,
    GIT_COMMITTER_EMAIL: email,
  };
  const stdin = `${commit.message}\n`;
  return (await gitOk(own, args, { stdin, env, what: "Cannot write a commit" })).trim();
}

export function objectId(bytes: Uint8Array, kind: string, hash: "sha1" | "sha256"): string {
  return createHash(hash).update(`${kind} ${bytes.length}\0`).update(bytes).digest("hex");
}

/** A loose object. */
function writeObject(
  folder: string,
  bytes: Uint8Array,
  { kind, hash }: { kind: string; hash: "sha1" | "sha256" },
): string {
  const id = objectId(bytes, kind, hash);
  const path = join(folder, id.slice(0, 2), id.slice(2));
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(
    path,
    deflateSync(Buffer.concat([Buffer.from(`${kind} ${bytes.length}\0`), bytes])),
  );
  return id;
}

/** As git's C-style quoting, for paths in lines. */
function quoted(path: string): string {
  if (!/["\n\\]/.test(path)) return path;
  return `"${path.replace(/["\\]/g, "\\$&").replace(/\n/g, "\\n")}"`;
}
