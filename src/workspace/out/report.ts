/** Status and diff of a repository in a machine, by the host's git in a scratch repository. */
import { appendFileSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { configText } from "#workspace/git/config.ts";
import { type Git, git, gitError, gitOk } from "#workspace/git/git.ts";
import { joinName, splitNul, toBytes } from "#workspace/names.ts";
import type { Captured } from "#workspace/open.ts";

export interface StatusOptions {
  /** All repositories of the workspace, for the states of submodules. */
  all: readonly Captured[];
  format: "long" | "short" | "porcelain";
  color: boolean;
}

/** As `git status`. */
export async function statusOf(
  capture: Captured,
  { all, format, color }: StatusOptions,
): Promise<string> {
  const own = await statusRepository(capture, all);
  const args = {
    long: [],
    short: ["--short", "--branch"],
    porcelain: ["--porcelain=v2", "-z", "--branch"],
  };
  return await gitOk(
    { ...own, config: [...(own.config ?? []), ["color.ui", color ? "always" : "false"]] },
    ["status", ...args[format], "--untracked-files=all", "--no-ahead-behind"],
    { what: "Cannot show the status of the workspace" },
  );
}

/** One changed path, as `git status --porcelain=v2` has it. */
export interface StatusEntry {
  path: string;
  /** Of the index against HEAD, and of the tree against the index: " MADRCTU?". */
  staged: string;
  unstaged: string;
  from?: string;
  /** How a submodule differs from the commit in the index: "new commits", "modified content", "untracked content". */
  submodule?: string[];
}

export function parseStatus(text: string): StatusEntry[] {
  const parts = text.split("\0");
  const entries: StatusEntry[] = [];
  for (let at = 0; at < parts.length; at++) {
    const part = parts[at] ?? "";
    const words = part.split(" ");
    const [staged = " ", unstaged = " "] = (words[1] ?? "").replaceAll(".", " ");
    const rest = (count: number): string => toUtf8(words.slice(count).join(" "));
    const own = { staged, unstaged, ...submoduleOf(words[2] ?? "") };
    if (part.startsWith("1 ")) entries.push({ path: rest(8), ...own });
    else if (part.startsWith("2 ")) {
      entries.push({ path: rest(9), ...own, from: toUtf8(parts[++at] ?? "") });
    } else if (part.startsWith("u ")) entries.push({ path: rest(10), staged, unstaged });
    else if (part.startsWith("? ")) entries.push({ path: rest(1), staged: "?", unstaged: "?" });
  }
  return entries;
}

const STATES = { C: "new commits", M: "modified content", U: "untracked content" };

/** "SCMU", with a dot for each that it has not; "N..." for what is no submodule. */
function submoduleOf(field: string): Pick<StatusEntry, "submodule"> {
  if (!/^S[C.][M.][U.]$/.test(field)) return {};
  const states = Object.entries(STATES).flatMap(([letter, text]) =>
    field.includes(letter) ? [text] : [],
  );
  return states.length === 0 ? {} : { submodule: states };
}

function toUtf8(name: string): string {
  return Buffer.from(name, "latin1").toString();
}

export type DiffBase = "import" | "head" | "index" | { tree: string };

export interface DiffOptions {
  /** What the working tree is compared with. */
  base: DiffBase;
  /** A tree in place of the working tree. */
  to?: string | undefined;
  /** The index with HEAD. */
  staged: boolean;
  color: boolean;
  args: readonly string[];
}

/** As `git diff`, with untracked files; bytes in a string. */
export async function diffOf(capture: Captured, options: DiffOptions): Promise<string> {
  const empty = await emptyTree(capture.git);
  const head = capture.refs.head ? `${capture.refs.head}^{tree}` : empty;
  const { indexTree = head, tree, record } = capture;
  const { base } = options;
  const bases = { import: record?.base ?? head, head, index: indexTree };
  const [from, to] = options.staged
    ? [head, indexTree]
    : [typeof base === "string" ? bases[base] : base.tree, options.to ?? tree];
  return await gitOk(
    { ...capture.git, workTree: capture.folder },
    [
      "diff",
      ...["--no-ext-diff", "--no-textconv", `--color=${options.color ? "always" : "never"}`],
      ...options.args,
      ...[from, to],
      "--",
    ],
    { what: "Cannot compare the workspace" },
  );
}

async function emptyTree(own: Git): Promise<string> {
  return (
    await gitOk(own, ["hash-object", "-w", "-t", "tree", "--stdin"], {
      stdin: "",
      what: "Cannot compare",
    })
  ).trim();
}

/** With HEAD and an index of the machine's, in which what has not changed is taken as it is. */
async function statusRepository(capture: Captured, all: readonly Captured[]): Promise<Git> {
  const { refs, index, clean, changed, folder } = capture;
  const own = { ...capture.git, workTree: folder };
  const what = "Cannot show the status of the workspace";
  const head = refs.branch ? `ref: ${refs.branch}\n` : `${refs.head}\n`;
  writeFileSync(join(own.gitDir, "HEAD"), Buffer.from(head, "latin1"));
  if (refs.branch && refs.head) {
    const stdin = `update ${refs.branch} ${refs.head}\n`;
    await gitOk(own, ["update-ref", "--stdin"], { stdin, what });
  }
  const lines = index
    .filter(({ isIntentToAdd }) => !isIntentToAdd)
    .map(({ name, mode, id, stage }) => `${mode.toString(8)} ${id} ${stage}\t${name}\0`);
  const run = async (args: string[], names: readonly string[]): Promise<void> => {
    if (names.length === 0) return;
    const result = await git(own, args, { stdin: names.map((name) => `${name}\0`).join("") });
    if (result.exitCode !== 0) throw gitError(what, result);
  };
  const added = await git(own, ["update-index", "-z", "--index-info"], { stdin: lines.join("") });
  if (added.exitCode !== 0) throw gitError(what, added);
  const present = new Set(changed.map(({ name }) => name));
  const skipped = index.filter(({ isSkipped, name }) => isSkipped && !present.has(name));
  await run(
    ["update-index", "-z", "--skip-worktree", "--stdin"],
    skipped.map(({ name }) => name),
  );
  await run(
    ["update-index", "-z", "--assume-unchanged", "--stdin"],
    clean.map(({ name }) => name),
  );
  await placeNested(capture, all);
  const later = index.filter(({ isIntentToAdd }) => isIntentToAdd);
  const missing = later.filter(({ name }) => !present.has(name)).map(({ name }) => toBytes(name));
  const place = (name: Buffer): Buffer => Buffer.concat([Buffer.from(`${folder}/`), name]);
  for (const name of missing) {
    mkdirSync(dirname(place(name).toString()), { recursive: true });
    writeFileSync(place(name), "");
  }
  await run(
    ["add", "--intent-to-add", "--force", "--pathspec-from-file=-", "--pathspec-file-nul"],
    later.map(({ name }) => name),
  );
  for (const name of missing) rmSync(place(name));
  return own;
}

/** Submodules and other repositories, where git looks for them: it runs its `status` in each submodule. */
async function placeNested(capture: Captured, all: readonly Captured[]): Promise<void> {
  const placeOf = (name: string): Buffer =>
    Buffer.concat([Buffer.from(`${capture.folder}/`), toBytes(name)]);
  for (const name of capture.folders) mkdirSync(placeOf(name), { recursive: true });
  const isBelow = (root: string, top: string): boolean =>
    root !== top && root.startsWith(joinName(top, ""));
  const below = all.filter(({ root }) => isBelow(root, capture.root));
  for (const nested of below) {
    if (below.some(({ root }) => isBelow(nested.root, root))) continue;
    const place = placeOf(nested.root.slice(joinName(capture.root, "").length));
    mkdirSync(place, { recursive: true });
    const own = await statusRepository(nested, all);
    // git gives its process for a submodule no settings, so they are in the file; the last of two counts.
    const config = [...(own.config ?? []), ["core.worktree", nested.folder] as const];
    appendFileSync(join(own.gitDir, "config"), configText(config), "latin1");
    writeFileSync(Buffer.concat([place, Buffer.from("/.git")]), `gitdir: ${own.gitDir}\n`);
  }
}

/** Lines added and removed, by path; undefined for binary files. */
export function parseNumbers(text: string, root: string) {
  return splitNul(text).map((part) => {
    const [added = "", removed = "", ...name] = part.split("\t");
    const count = (digits: string) => (digits === "-" ? undefined : Number(digits));
    const path = toUtf8(joinName(root, name.join("\t")));
    return { path, added: count(added), removed: count(removed) };
  });
}
