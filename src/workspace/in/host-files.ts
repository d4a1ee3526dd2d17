/** Selects the files of a working tree on the host to send to a machine, and lists those left out. */
import { type BigIntStats, lstatSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { errnoOf } from "#base/error.ts";
import {
  type TreeEntry,
  TYPE_DIRECTORY,
  TYPE_FILE,
  TYPE_SYMLINK,
  typeOf,
} from "#base/files/tree-records.ts";
import { tarTime } from "#tar/write.ts";
import { gitOk } from "#workspace/git/git.ts";
import type { IndexEntry } from "#workspace/git/index-file.ts";
import { isGitDirectory } from "#workspace/git/index-file.ts";
import { isRepositoryAt, type Repository } from "#workspace/git/source.ts";
import { SUBMODULE } from "#workspace/git/worktree-tree.ts";
import { joinName, parentOf, splitNul, toBytes } from "#workspace/names.ts";
import { isStaging } from "#workspace/staging.ts";
import { looksSecret } from "./secrets.ts";
import { walkFolder } from "./walk-folder.ts";

export interface FileChoice {
  /** Patterns, as in .gitignore, of files that are sent although they are ignored. */
  includeIgnored: readonly string[];
  includeSecrets: boolean;
}

export interface HostFiles {
  files: TreeEntry[];
  /** Empty directories of submodules that are not checked out. */
  emptyDirectories: string[];
  /** Repositories in the tree: submodules and others. */
  nested: string[];
  /** Left out by name. */
  secrets: string[];
  /** Tracked files whose names suggest secrets. */
  trackedSecrets: string[];
  /** Sockets, pipes and devices. */
  skipped: string[];
  /** Of mirrors that were killed. */
  leftovers: string[];
}

export async function listHostFiles(
  repository: Repository,
  index: readonly Pick<IndexEntry, "name" | "mode">[],
  choice: FileChoice,
): Promise<HostFiles> {
  const found = emptyResult();
  const view = new HostView(repository.top);
  const tracked = new Set<string>();
  for (const { name, mode } of index) {
    if (tracked.has(name)) continue;
    tracked.add(name);
    const entry = view.lstat(name);
    if (entry && typeOf(entry) === TYPE_DIRECTORY) {
      if (isRepositoryAt(view.path(name))) found.nested.push(name);
      else found.emptyDirectories.push(name);
      if (mode === SUBMODULE && !isRepositoryAt(view.path(name)))
        await addBelow(found, view, { name, choice });
    } else if (entry) {
      add(found, entry);
      if (looksSecret(name)) found.trackedSecrets.push(name);
    }
  }
  for (const name of await untracked(repository, choice)) {
    if (name.endsWith("/")) {
      if (isRepositoryAt(view.path(name.slice(0, -1)))) found.nested.push(name.slice(0, -1));
      continue;
    }
    if (tracked.has(name)) continue;
    const entry = view.lstat(name);
    if (!entry) continue;
    if (!choice.includeSecrets && looksSecret(name)) found.secrets.push(name);
    else add(found, entry);
  }
  return found;
}

/** Of a submodule whose repository is gone: git looks at none of its files. */
async function addBelow(
  found: HostFiles,
  view: HostView,
  { name, choice }: { name: string; choice: FileChoice },
): Promise<void> {
  const below = await listFolder(view.path(name), choice, walkFolder);
  for (const file of below.files) found.files.push({ ...file, name: joinName(name, file.name) });
  for (const key of ["emptyDirectories", "secrets", "skipped"] as const)
    found[key].push(...below[key].map((each) => joinName(name, each)));
}

/** A directory that is no repository. */
export async function listFolder(
  top: string,
  choice: FileChoice,
  walk: (top: string) => AsyncIterable<string>,
): Promise<HostFiles> {
  const found = emptyResult();
  const view = new HostView(top);
  for await (const name of walk(top)) {
    const entry = view.lstat(name);
    if (!entry) continue;
    if (typeOf(entry) === TYPE_DIRECTORY) found.emptyDirectories.push(name);
    else if (!choice.includeSecrets && looksSecret(name)) found.secrets.push(name);
    else add(found, entry);
  }
  return found;
}

function emptyResult(): HostFiles {
  return {
    files: [],
    emptyDirectories: [],
    nested: [],
    secrets: [],
    trackedSecrets: [],
    skipped: [],
    leftovers: [],
  };
}

function add(found: HostFiles, entry: TreeEntry): void {
  const type = typeOf(entry);
  const { name } = entry;
  if (isStaging(name.slice(name.lastIndexOf("/") + 1))) found.leftovers.push(name);
  else if (type === TYPE_FILE || type === TYPE_SYMLINK) found.files.push(entry);
  else found.skipped.push(name);
}

/** Untracked files that are not ignored, or that a pattern includes; a repository among them ends in "/". */
async function untracked(repository: Repository, choice: FileChoice): Promise<string[]> {
  const what = `Cannot import "${repository.top}"`;
  const list = async (args: string[]) =>
    splitNul(await gitOk(repository.git, ["ls-files", "-z", "--others", ...args], { what }));
  const names = new Set(await list(["--exclude-standard"]));
  if (choice.includeIgnored.length > 0) {
    const patterns = choice.includeIgnored.map((pattern) => `--exclude=${pattern}`);
    for (const name of await list(["--ignored", ...patterns])) names.add(name);
  }
  return [...names].filter((name) => !name.split("/").some((part) => isGitDirectory(part)));
}

/** Looks at files without going through a symlink. */
export class HostView {
  readonly #top: string;
  readonly #folders = new Map<string, boolean>([["", true]]);

  constructor(top: string) {
    this.#top = top;
  }

  path(name: string): string {
    // Node takes a path as bytes only as a whole.
    return join(this.#top, toBytes(name).toString());
  }

  bytes(name: string): Buffer {
    return Buffer.concat([Buffer.from(`${this.#top}/`), toBytes(name)]);
  }

  /** Undefined if there is nothing, or only behind a symlink. */
  lstat(name: string): TreeEntry | undefined {
    if (!this.#isFolder(parentOf(name))) return undefined;
    const info = this.#stat(name);
    if (!info) return undefined;
    const { mtime_s, mtime_ns } = tarTime(info.mtimeNs);
    return {
      name,
      mode: Number(info.mode),
      size: Number(info.size),
      mtime_s,
      mtime_ns,
      target: info.isSymbolicLink()
        ? readlinkSync(this.bytes(name), { encoding: "buffer" }).toString("latin1")
        : undefined,
    };
  }

  #isFolder(name: string): boolean {
    const known = this.#folders.get(name);
    if (known !== undefined) return known;
    const is = this.#isFolder(parentOf(name)) && (this.#stat(name)?.isDirectory() ?? false);
    this.#folders.set(name, is);
    return is;
  }

  #stat(name: string): BigIntStats | undefined {
    try {
      return lstatSync(this.bytes(name), { bigint: true });
    } catch (error) {
      const errno = errnoOf(error);
      if (errno === "ENOENT" || errno === "ENOTDIR") return undefined;
      throw error;
    }
  }
}
