/**
 * The state of a repository in a machine, as objects in a scratch repository on the host. Only files of the machine are
 * read: no program of it runs, and none of its configuration is used.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BangerError } from "#base/error.ts";
import {
  type TreeEntry,
  TYPE_DIRECTORY,
  TYPE_FILE,
  TYPE_SYMLINK,
  typeOf,
} from "#base/files/tree-records.ts";
import { GiB } from "#base/size.ts";
import { type Config, comparingConfig, readConfig } from "#workspace/git/config.ts";
import { type Git, git } from "#workspace/git/git.ts";
import { type IndexEntry, isGitDirectory, parseIndex } from "#workspace/git/index-file.ts";
import { makeScratch, objectsOf } from "#workspace/git/scratch.ts";
import type { Repository } from "#workspace/git/source.ts";
import {
  compareWithIndex,
  keptEntries,
  SUBMODULE,
  type TreeFile,
  writeBlobs,
  writeTree,
} from "#workspace/git/worktree-tree.ts";
import { fetchFiles, readSmallFiles } from "#workspace/guest/files.ts";
import { takeObjects } from "#workspace/guest/objects.ts";
import type { GuestPort } from "#workspace/guest/port.ts";
import { type GuestRefs, readGuestRefs } from "#workspace/guest/refs.ts";
import { HostView } from "#workspace/in/host-files.ts";
import { joinName, splitNul } from "#workspace/names.ts";

/** Of changed and untracked files. */
const FILES_MAX_BYTES = 8 * GiB;
const RULES_MAX = 20_000;

export interface CaptureRequest {
  path: string;
  /** Of the repository, relative to the workspace: "" is the workspace. */
  root: string;
  tree: ReadonlyMap<string, TreeEntry>;
  /** The user's repository, whose objects need not be fetched. */
  repository: Repository | undefined;
  /** Object directories besides. */
  alternates: readonly string[];
  /** A scratch directory. */
  folder: string;
  max_bytes: number;
  /** Of the repositories below it, by their roots. */
  heads: ReadonlyMap<string, string | undefined>;
  signal?: AbortSignal | undefined;
}

export interface Capture {
  root: string;
  /** Bare and ours, with the objects of the machine. */
  git: Git;
  refs: GuestRefs;
  index: IndexEntry[];
  /** Files that are changed or untracked, below `folder`; everything else is as in the index. */
  folder: string;
  changed: TreeFile[];
  clean: TreeFile[];
  /** Of submodules, checked out or not, those whose directory is there. */
  folders: ReadonlySet<string>;
  /** The working tree: tracked files, and untracked ones that are not ignored. */
  tree: string;
  /** Of what is staged; undefined while there are conflicts. */
  indexTree: string | undefined;
  /** Names that git does not allow. */
  leftOut: string[];
}

export async function captureRepository(
  guest: GuestPort,
  request: CaptureRequest,
): Promise<Capture> {
  const { path, root, tree, repository, signal } = request;
  const { config, hash } = await settingsOf(guest, request);
  const own = makeScratch(join(request.folder, "git"), {
    hash,
    alternates: [...objectsOf(repository), ...request.alternates],
    config,
    signal,
  });
  const refs = await readGuestRefs(guest, path, { root, tree });
  const objects = join(request.folder, "objects");
  const isKnown = repository !== undefined;
  await takeObjects(guest, own, { ...request, folder: objects, hash, includeKept: !isKnown });
  const head = refs.head ? [refs.head] : [];
  if (isKnown && !(await hasAll(own, head))) {
    await takeObjects(guest, own, {
      ...request,
      folder: `${objects}-kept`,
      hash,
      includeKept: true,
    });
  }
  const gitDir = joinName(root, ".git");
  const names = [`${gitDir}/index`, `${gitDir}/info/exclude`, `${gitDir}/info/sparse-checkout`];
  const small = await readSmallFiles(guest, path, names);
  const bytes = small.get(`${gitDir}/index`);
  const index = bytes ? parseIndex(bytes, hash === "sha256" ? 32 : 20) : [];
  mkdirSync(join(own.gitDir, "info"));
  writeFileSync(join(own.gitDir, "info/exclude"), small.get(`${gitDir}/info/exclude`) ?? "");
  const written_s = tree.get(`${gitDir}/index`)?.mtime_s ?? 0;
  const files = await captureFiles(guest, { ...request, own, index, written_s, hash });
  const present = new Set([...files.clean, ...files.changed].map(({ name }) => name));
  const folders = new Set<string>();
  for (const { name, mode } of index) {
    const there = tree.get(joinName(root, name));
    if (mode === SUBMODULE && there && typeOf(there) === TYPE_DIRECTORY) folders.add(name);
  }
  const commitOf = ({ name, id }: IndexEntry): string | undefined =>
    folders.has(name) ? (request.heads.get(joinName(root, name)) ?? id) : undefined;
  const all = [...files.clean, ...files.changed, ...keptEntries(index, present, commitOf)];
  const hasConflicts = index.some(({ stage }) => stage !== 0);
  const staged = index.filter(({ isIntentToAdd }) => !isIntentToAdd);
  return {
    root,
    git: own,
    refs,
    index,
    ...files,
    folders,
    tree: await writeTree(own, all, join(request.folder, "tree-index")),
    indexTree: hasConflicts
      ? undefined
      : await writeTree(own, staged, join(request.folder, "staged-index")),
  };
}

/** Without a repository on the host, the only setting read from the machine's is its hash algorithm. */
async function settingsOf(
  guest: GuestPort,
  { repository, path, root }: CaptureRequest,
): Promise<{ config: Config; hash: "sha1" | "sha256" }> {
  if (repository) {
    return { config: comparingConfig(await readConfig(repository.git)), hash: repository.hash };
  }
  const name = `${joinName(root, ".git")}/config`;
  const text = (await readSmallFiles(guest, path, [name])).get(name)?.toString("latin1") ?? "";
  return { config: [], hash: /objectformat\s*=\s*"?sha256/i.test(text) ? "sha256" : "sha1" };
}

async function hasAll(own: Git, ids: readonly string[]): Promise<boolean> {
  if (ids.length === 0) return true;
  const args = ["rev-list", "--objects", "--quiet", "--stdin"];
  const walked = await git(own, args, { stdin: `${ids.map((id) => `${id}^{tree}`).join("\n")}\n` });
  return walked.exitCode === 0;
}

interface FilesRequest extends CaptureRequest {
  own: Git;
  index: readonly IndexEntry[];
  written_s: number;
  hash: "sha1" | "sha256";
}

async function captureFiles(guest: GuestPort, request: FilesRequest) {
  const { path, root, tree, own, index } = request;
  const folder = join(request.folder, "files");
  mkdirSync(folder);
  const { files, leftOut } = workingFiles(tree, root, index);
  const { clean, changed } = compareWithIndex(files, index, request.written_s);
  const tracked = new Set(index.map(({ name }) => name));
  const rules = files
    .filter(({ name }) => /(^|\/)\.git(ignore|attributes)$/.test(name))
    .slice(0, RULES_MAX);
  const fetch = async (names: readonly string[]): Promise<void> => {
    // The workspace's names lead to files of this repository.
    const place = root === "" ? path : `${path}/${Buffer.from(root, "latin1")}`;
    await fetchFiles(guest, { path: place, names, folder, max_bytes: FILES_MAX_BYTES });
  };
  await fetch(rules.map(({ name }) => name));
  const untracked = changed.filter(({ name }) => !tracked.has(name)).map(({ name }) => name);
  const ignored = await ignoredOf(own, folder, untracked);
  const got = new Set(rules.map(({ name }) => name));
  const wanted = changed.filter(({ name }) => !ignored.has(name));
  await fetch(wanted.map(({ name }) => name).filter((name) => !got.has(name)));
  // The received files are authoritative, not the records.
  const view = new HostView(folder);
  const present = wanted.flatMap((file) => view.lstat(file.name) ?? []);
  const made = await writeBlobs(own, present, { top: folder, hash: request.hash });
  return { folder, clean, changed: made, leftOut };
}

async function ignoredOf(
  own: Git,
  workTree: string,
  names: readonly string[],
): Promise<Set<string>> {
  if (names.length === 0) return new Set();
  const args = ["check-ignore", "-z", "--stdin", "--no-index"];
  const { exitCode, stdout, stderr } = await git({ ...own, workTree }, args, {
    // The prefix makes this command read a path literally, not as a pattern.
    stdin: names.map((name) => `./${name}\0`).join(""),
    env: { GIT_LITERAL_PATHSPECS: "0" },
  });
  if (exitCode > 1)
    throw new BangerError("guest", `Cannot read the workspace's ignore rules: ${stderr}`);
  return new Set(splitNul(stdout).map((name) => name.slice(2)));
}

/** Files and symlinks of one repository, without those that are in other repositories and submodules below it. */
function workingFiles(
  tree: ReadonlyMap<string, TreeEntry>,
  root: string,
  index: readonly IndexEntry[],
): { files: TreeEntry[]; leftOut: string[] } {
  const prefix = root === "" ? "" : `${root}/`;
  const submodules = index.filter(({ mode }) => mode === SUBMODULE);
  const nested = [
    ...nestedRoots(tree, root),
    ...submodules.map(({ name }) => joinName(root, name)),
  ];
  const files: TreeEntry[] = [];
  const leftOut: string[] = [];
  for (const [full, entry] of tree) {
    if (!full.startsWith(prefix) || full === root) continue;
    const name = full.slice(prefix.length);
    const type = typeOf(entry);
    if (type !== TYPE_FILE && type !== TYPE_SYMLINK) continue;
    if (name.startsWith(".git/") || nested.some((other) => full.startsWith(`${other}/`))) continue;
    if (name.split("/").some((part) => isGitDirectory(part))) leftOut.push(name);
    else files.push({ ...entry, name });
  }
  return { files, leftOut };
}

/** Repositories below one, relative to the workspace. */
export function nestedRoots(tree: ReadonlyMap<string, TreeEntry>, root: string): string[] {
  const prefix = root === "" ? "" : `${root}/`;
  return [...tree.keys()]
    .filter((name) => name.startsWith(prefix) && name.endsWith("/.git/HEAD"))
    .map((name) => name.slice(0, -"/.git/HEAD".length))
    .filter((name) => name !== root && name !== "" && name.length > root.length);
}
