/** Plans the import of one repository: what to send, and the tree of its current working tree. */
import { cpSync, mkdirSync, readFileSync, statSync, utimesSync } from "node:fs";
import { join } from "node:path";
import type { TreeEntry } from "#base/files/tree-records.ts";
import { type Git, gitOk } from "#workspace/git/git.ts";
import { type IndexEntry, parseIndex } from "#workspace/git/index-file.ts";
import { lfsObjects } from "#workspace/git/lfs.ts";
import { localObjects, shallowAt } from "#workspace/git/pack.ts";
import { openRepository, type Repository } from "#workspace/git/source.ts";
import { type GitState, readGitState } from "#workspace/git/state.ts";
import {
  compareWithIndex,
  keptEntries,
  SUBMODULE,
  writeBlobs,
  writeTree,
} from "#workspace/git/worktree-tree.ts";
import { joinName } from "#workspace/names.ts";
import { type FileChoice, type HostFiles, listHostFiles } from "./host-files.ts";

export interface PlanOptions extends FileChoice {
  depth: number | undefined;
  /** A scratch directory, for this import. */
  scratch: string;
  /**
   * Makes a repository for the tree of a working tree. It does not know the repository's own, whose files git would touch to
   * keep objects alive that are written once more.
   */
  objectsOf: (repository: Repository) => Promise<{ name: string; own: Git }>;
  signal?: AbortSignal | undefined;
}

export interface RepositoryPlan {
  /** Relative to the workspace, "" for the workspace itself. */
  name: string;
  repository: Repository;
  state: GitState;
  /** A copy of ours, in one plain file; undefined if the repository has none. */
  indexFile: string | undefined;
  index: IndexEntry[];
  found: HostFiles;
  /** Objects to be packed. */
  tips: string[];
  /** Undefined: as in the repository. */
  shallow: string[] | undefined;
  lfs: string[];
  /** Tree of the working tree, and the name of where it is kept. */
  base: string;
  objects: string;
}

/** The repository and, in order, those that are in its tree. */
export async function planRepositories(
  top: string,
  name: string,
  options: PlanOptions,
): Promise<RepositoryPlan[]> {
  const repository = await openRepository(top, options.signal);
  const folder = join(options.scratch, `repository-${crypto.randomUUID()}`);
  mkdirSync(join(folder, "empty"), { recursive: true });
  const indexFile = await copyIndex(repository, folder);
  const index = indexFile ? parseIndex(readFileSync(indexFile), repository.hash_bytes) : [];
  const { depth } = options;
  const state = await readGitState(repository, { onlyHead: depth !== undefined });
  const found = await listHostFiles(repository, index, options);
  const shallow =
    depth !== undefined && state.head
      ? await shallowAt(repository.git, state.head, depth)
      : undefined;
  if (shallow) state.files.set("shallow", Buffer.from(shallow.map((id) => `${id}\n`).join("")));
  if (shallow?.length === 0) state.files.delete("shallow");
  const nested: RepositoryPlan[] = [];
  const heads = new Map<string, string | undefined>();
  for (const child of found.nested) {
    const place = join(top, Buffer.from(child, "latin1").toString());
    const plans = await planRepositories(place, joinName(name, child), options);
    heads.set(child, plans[0]?.state.head);
    nested.push(...plans);
  }
  const base = await writeBase(repository, { folder, index, indexFile, found, heads, ...options });
  const plan: RepositoryPlan = {
    name,
    repository,
    state,
    indexFile,
    index,
    found,
    tips: await tipsOf(repository, state, index),
    shallow,
    lfs: await lfsObjects(repository, index),
    ...base,
  };
  return [plan, ...nested];
}

/**
 * A split or sparse index becomes a whole one. It is written beside an empty working tree, so that git looks at no
 * file, and keeps the time of the original, by which git decides what it does not trust.
 */
async function copyIndex(repository: Repository, folder: string): Promise<string | undefined> {
  const original = join(repository.gitDir, "index");
  const info = statSync(original, { throwIfNoEntry: false });
  if (!info) return undefined;
  const indexFile = join(folder, "index");
  cpSync(original, indexFile);
  await gitOk(
    { ...repository.git, workTree: join(folder, "empty"), indexFile },
    [
      "update-index",
      ...["--no-split-index", "--no-fsmonitor", "--no-untracked-cache", "--force-write-index"],
    ],
    { what: `Cannot read the index of "${repository.top}"` },
  );
  utimesSync(indexFile, info.atimeMs / 1000, info.mtimeMs / 1000);
  return indexFile;
}

/** An entry that is only intended to be added has no object. */
async function tipsOf(
  repository: Repository,
  { tips }: GitState,
  index: readonly IndexEntry[],
): Promise<string[]> {
  const blobs = index
    .filter(({ mode, isIntentToAdd }) => mode !== 0o160000 && !isIntentToAdd)
    .map(({ id }) => id);
  const all = [...new Set([...tips, ...blobs])];
  if (!repository.isPartial) return all;
  const local = await localObjects(repository.git);
  return all.filter((id) => local.has(id));
}

interface BaseInput extends PlanOptions {
  folder: string;
  index: readonly IndexEntry[];
  indexFile: string | undefined;
  found: HostFiles;
  /** Of nested repositories, by their names in this one. */
  heads: ReadonlyMap<string, string | undefined>;
}

async function writeBase(
  repository: Repository,
  input: BaseInput,
): Promise<{ base: string; objects: string }> {
  const { folder, index, indexFile, found, heads } = input;
  const { name: objects, own } = await input.objectsOf(repository);
  const written_s = indexFile ? Math.floor(statSync(indexFile).mtimeMs / 1000) : 0;
  const submodules = index.filter(({ mode }) => mode === SUBMODULE).map(({ name }) => `${name}/`);
  const visible = found.files.filter(({ name }) => !submodules.some((top) => name.startsWith(top)));
  const { clean, changed } = compareWithIndex(visible, index, written_s);
  const folders = new Set(found.emptyDirectories);
  const commitOf = ({ name, id }: IndexEntry): string | undefined =>
    heads.get(name) ?? (heads.has(name) || folders.has(name) ? id : undefined);
  const present = new Set(found.files.map(({ name }: TreeEntry) => name));
  const made = await writeBlobs(own, changed, repository);
  const files = [...clean, ...made, ...keptEntries(index, present, commitOf)];
  return { base: await writeTree(own, files, join(folder, "base-index")), objects };
}
