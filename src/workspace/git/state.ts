/** The small files of a new `.git`: a repository's state besides objects, index and working tree. */
import { lstatSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { MiB } from "#base/size.ts";
import { readConfig, safeConfig } from "./config.ts";
import { type Git, git, gitOk } from "./git.ts";
import type { Repository } from "./source.ts";

/** Of each small file. */
const FILE_MAX_BYTES = 4 * MiB;
/** State of a merge, rebase, cherry-pick, revert or bisect. */
export const STATE_FILES = [
  ...["MERGE_HEAD", "MERGE_MSG", "MERGE_MODE", "MERGE_RR", "MERGE_AUTOSTASH", "AUTO_MERGE"],
  ...["SQUASH_MSG", "CHERRY_PICK_HEAD", "REVERT_HEAD", "REBASE_HEAD", "ORIG_HEAD"],
  ...["BISECT_LOG", "BISECT_START", "BISECT_TERMS", "BISECT_NAMES", "BISECT_HEAD"],
  ...["BISECT_EXPECTED_REV", "BISECT_ANCESTORS_OK"],
];
export const STATE_FOLDERS = ["rebase-merge", "rebase-apply", "sequencer"];
const REFS = [
  "refs/heads",
  "refs/tags",
  "refs/remotes",
  "refs/notes",
  "refs/replace",
  "refs/bisect",
];

export interface GitState {
  /** The commit; undefined on an unborn branch. */
  head: string | undefined;
  /** Full name of the current branch; undefined if HEAD is detached. */
  branch: string | undefined;
  refs: Map<string, string>;
  /** Commits and other objects that the files name. */
  tips: string[];
  /** By path below `.git`. */
  files: Map<string, Uint8Array>;
}

export async function readGitState(
  repository: Repository,
  options: { onlyHead: boolean },
): Promise<GitState> {
  const { git: own, gitDir } = repository;
  const what = `Cannot import "${repository.top}"`;
  const symbolic = await git(own, ["symbolic-ref", "--quiet", "HEAD"]);
  const branch = symbolic.exitCode === 0 ? symbolic.stdout.trim() : undefined;
  const verified = await git(own, ["rev-parse", "--quiet", "--verify", "HEAD^{commit}"]);
  const head = verified.exitCode === 0 ? verified.stdout.trim() : undefined;
  const files = new Map<string, Uint8Array>();
  const put = (path: string, text: string): void =>
    void files.set(path, Buffer.from(text, "latin1"));
  put("HEAD", branch ? `ref: ${branch}\n` : `${head}\n`);
  const { refs, symbolicRefs } = await readRefs(own, what);
  if (options.onlyHead) {
    const id = branch ? refs.get(branch) : undefined;
    refs.clear();
    symbolicRefs.clear();
    if (branch && id) refs.set(branch, id);
  }
  const lines = [...refs]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, id]) => `${id} ${name}\n`);
  put("packed-refs", lines.join(""));
  for (const [name, target] of symbolicRefs) {
    if (refs.has(target)) put(name, `ref: ${target}\n`);
  }
  for (const [name, bytes] of stateFiles(gitDir)) files.set(name, bytes);
  const named = [...files].flatMap(([name, bytes]) => (name === "packed-refs" ? [] : idsIn(bytes)));
  const tips = [...refs.values(), ...(head ? [head] : []), ...(await existing(own, named))];
  const config = await readConfig(own);
  put("config", safeConfig(config, repository));
  put("info/exclude", await excludes(repository));
  copySmall(files, join(repository.commonDir, "info/attributes"), "info/attributes");
  copySmall(files, join(gitDir, "info/sparse-checkout"), "info/sparse-checkout");
  copySmall(files, join(repository.commonDir, "shallow"), "shallow");
  put("description", "Imported by banger\n");
  return { head, branch, refs, tips: [...new Set(tips)], files };
}

async function readRefs(own: Git, what: string) {
  const format = "--format=%(objectname) %(refname) %(symref)";
  const refs = new Map<string, string>();
  const symbolicRefs = new Map<string, string>();
  for (const line of (await gitOk(own, ["for-each-ref", format, ...REFS], { what })).split("\n")) {
    const [id = "", name = "", target = ""] = line.split(" ");
    if (target !== "") symbolicRefs.set(name, target);
    else if (name !== "" && !/^0+$/.test(id)) refs.set(name, id);
  }
  return { refs, symbolicRefs };
}

function* stateFiles(gitDir: string): Generator<[string, Uint8Array]> {
  for (const name of STATE_FILES) {
    const bytes = readSmall(join(gitDir, name));
    if (bytes) yield [name, bytes];
  }
  for (const folder of STATE_FOLDERS) {
    for (const name of folderNames(join(gitDir, folder))) {
      const bytes = readSmall(join(gitDir, folder, name));
      if (bytes) yield [`${folder}/${name}`, bytes];
    }
  }
}

function folderNames(path: string): string[] {
  if (!lstatSync(path, { throwIfNoEntry: false })?.isDirectory()) return [];
  return readdirSync(path).slice(0, 10_000);
}

/** Undefined unless it is a regular file. */
function readSmall(path: string): Uint8Array | undefined {
  const info = lstatSync(path, { throwIfNoEntry: false });
  return info?.isFile() && info.size <= FILE_MAX_BYTES ? readFileSync(path) : undefined;
}

function copySmall(files: Map<string, Uint8Array>, path: string, name: string): void {
  const bytes = readSmall(path);
  if (bytes) files.set(name, bytes);
}

function idsIn(bytes: Uint8Array): string[] {
  const text = Buffer.from(bytes).toString("latin1");
  return text.match(/\b([0-9a-f]{64}|[0-9a-f]{40})\b/g) ?? [];
}

/** The subset of objects that the repository has. */
export async function existing(own: Git, ids: readonly string[]): Promise<string[]> {
  if (ids.length === 0) return [];
  const args = ["cat-file", "--batch-check=%(objectname)", "--buffer"];
  const { stdout } = await git(own, args, { stdin: `${[...new Set(ids)].join("\n")}\n` });
  return stdout.split("\n").filter((line) => /^[0-9a-f]+$/.test(line));
}

/** The repository's ignore rules and the user's global ones; the repository cannot choose the latter's path. */
async function excludes({ git: own, commonDir }: Repository): Promise<string> {
  const args = ["config", "--global", "--type=path", "--get", "core.excludesFile"];
  const { stdout } = await git(own, args);
  const path = Buffer.from(stdout.trim(), "latin1").toString();
  const parts = [path, join(commonDir, "info/exclude")]
    .filter((part) => part !== "")
    .map((part) => readSmall(part))
    .filter((bytes) => bytes !== undefined);
  return parts.map((bytes) => Buffer.from(bytes).toString("latin1")).join("\n");
}
