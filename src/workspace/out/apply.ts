/**
 * Brings the changes of a machine's working tree onto the user's: three-way, from the state at the import. Everything is
 * decided before the first file is written; where a change of the user's would be lost, nothing is written at all.
 */
import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BangerError } from "#base/error.ts";
import { TYPE_DIRECTORY, typeOf } from "#base/files/tree-records.ts";
import { type Git, git, gitOk } from "#workspace/git/git.ts";
import { isGitDirectory, parseIndex } from "#workspace/git/index-file.ts";
import type { Repository } from "#workspace/git/source.ts";
import {
  compareWithIndex,
  SUBMODULE,
  type TreeFile,
  writeBlobs,
} from "#workspace/git/worktree-tree.ts";
import { fetchFiles } from "#workspace/guest/files.ts";
import type { GuestPort } from "#workspace/guest/port.ts";
import { HostView } from "#workspace/in/host-files.ts";
import { joinName, parentOf, shownName, someOf, splitNul } from "#workspace/names.ts";
import { assertComplete, type Captured } from "#workspace/open.ts";
import { carryOut, LINK, type Step } from "./carry-out.ts";

const GONE = "0";
const FILES_MAX_BYTES = 16 * 1024 ** 3;

export interface ApplyResult {
  changed: string[];
  removed: string[];
  /** Of these, files that were changed on both sides. */
  merged: string[];
  /** Submodules that point to other commits; they are left alone. */
  submodules: string[];
  /** An earlier one was interrupted. */
  continues: boolean;
}

interface Change {
  name: string;
  base: Pick<TreeFile, "mode" | "id">;
  theirs: Pick<TreeFile, "mode" | "id">;
}

export async function applyTo(
  guest: GuestPort,
  input: {
    path: string;
    capture: Captured;
    repository: Repository;
    folder: string;
    isTrial: boolean;
  },
): Promise<ApplyResult> {
  const { capture, repository } = input;
  assertComplete(capture);
  const base = capture.record?.base;
  if (!base) {
    throw new BangerError(
      "invalid_state",
      "Cannot apply: this workspace was not imported from here",
      {
        hint: "Fetch it, then merge: banger vm workspace fetch",
      },
    );
  }
  const changes = await changesOf(capture, base);
  const submodules = changes.filter(isSubmodule).map(({ name }) => name);
  const own = changes.filter((change) => !isSubmodule(change));
  const steps = await plan(guest, { ...input, changes: own });
  const continues = !input.isTrial && carryOut(repository, steps);
  const names = (some: readonly Step[]): string[] => some.map(({ name }) => name);
  return {
    changed: names(steps.filter(({ content }) => content)),
    removed: names(steps.filter(({ content }) => !content)),
    merged: names(steps.filter(({ isMerged }) => isMerged)),
    submodules,
    continues,
  };
}

async function changesOf({ git: own, tree }: Captured, base: string): Promise<Change[]> {
  const text = await gitOk(
    own,
    ["diff-tree", "-r", "-z", "--raw", "--no-renames", "--full-index", base, tree],
    {
      what: "Cannot compare the workspace with what was imported",
    },
  );
  const parts = splitNul(text);
  const changes: Change[] = [];
  for (let at = 0; at + 1 < parts.length; at += 2) {
    const [mode = "", newMode = "", id = "", newId = ""] = (parts[at] ?? "").slice(1).split(" ");
    const name = parts[at + 1] ?? "";
    changes.push({ name, base: side(mode, id), theirs: side(newMode, newId) });
  }
  return changes;
}

function side(mode: string, id: string): Pick<TreeFile, "mode" | "id"> {
  const number = Number.parseInt(mode, 8);
  return { mode: number, id: number === 0 ? GONE : id };
}

function isSubmodule({ base, theirs }: Change): boolean {
  return base.mode === SUBMODULE || theirs.mode === SUBMODULE;
}

interface PlanInput {
  path: string;
  capture: Captured;
  repository: Repository;
  folder: string;
  changes: readonly Change[];
}

async function plan(guest: GuestPort, input: PlanInput): Promise<Step[]> {
  const { capture, repository, folder, changes } = input;
  const view = new HostView(repository.top);
  const ours = await hostState(
    repository,
    capture.git,
    changes.map(({ name }) => name),
  );
  const open = changes.filter(({ name, theirs }) => !isSame(ours.get(name), theirs));
  const theirs = await theirFiles(guest, input, open);
  const steps: Step[] = [];
  const conflicts: string[] = [];
  for (const change of open) {
    const { name } = change;
    if (!isWritable(view, change, changes)) {
      conflicts.push(name);
      continue;
    }
    const mine = ours.get(name) ?? { mode: 0, id: GONE };
    const content = change.theirs.id === GONE ? undefined : theirs.get(name);
    if (change.theirs.id !== GONE && !content) conflicts.push(name);
    else if (isSame(mine, change.base)) steps.push({ name, content, isMerged: false });
    else {
      const merged = await merge(capture.git, { change, mine, content, view, folder });
      if (merged) steps.push({ name, content: merged, isMerged: true });
      else conflicts.push(name);
    }
  }
  if (conflicts.length === 0) return steps;
  throw new BangerError(
    "conflict",
    `Cannot apply: changed here and in the machine, and cannot be merged: ${someOf(conflicts)}`,
    { hint: "Nothing was written. Fetch instead, then merge with git: banger vm workspace fetch" },
  );
}

/** The user's current files at these paths, read as at the import. */
async function hostState(
  repository: Repository,
  scratch: Git,
  names: readonly string[],
): Promise<Map<string, Pick<TreeFile, "mode" | "id">>> {
  const view = new HostView(repository.top);
  const indexPath = join(repository.gitDir, "index");
  const info = statSync(indexPath, { throwIfNoEntry: false });
  const index = info ? readIndex(indexPath, repository) : [];
  const files = names.flatMap((name) => view.lstat(name) ?? []);
  const isThere = files.filter((file) => typeOf(file) !== TYPE_DIRECTORY);
  const { clean, changed } = compareWithIndex(
    isThere,
    index,
    info ? Math.floor(info.mtimeMs / 1000) : 0,
  );
  const made = await writeBlobs(scratch, changed, repository);
  return new Map([...clean, ...made].map((file) => [file.name, file]));
}

/** A split or sparse index is not supported: the files are read instead. */
function readIndex(path: string, repository: Repository) {
  try {
    return parseIndex(readFileSync(path), repository.hash_bytes);
  } catch {
    return [];
  }
}

async function theirFiles(
  guest: GuestPort,
  { path, capture, folder }: PlanInput,
  changes: readonly Change[],
): Promise<Map<string, { mode: number; bytes: Uint8Array }>> {
  const names = changes.filter(({ theirs }) => theirs.id !== GONE).map(({ name }) => name);
  const place =
    capture.root === "" ? path : joinName(path, Buffer.from(capture.root, "latin1").toString());
  const target = join(folder, "theirs");
  mkdirSync(target, { recursive: true });
  const got = await fetchFiles(guest, {
    path: place,
    names,
    folder: target,
    max_bytes: FILES_MAX_BYTES,
  });
  const view = new HostView(target);
  const found = new Map<string, { mode: number; bytes: Uint8Array }>();
  for (const name of got) {
    const entry = view.lstat(name);
    if (!entry) continue;
    const isLink = entry.target !== undefined;
    const bytes = isLink
      ? Buffer.from(entry.target ?? "", "latin1")
      : readFileSync(view.bytes(name));
    found.set(name, { mode: isLink ? LINK : entry.mode & 0o100 ? 0o100755 : 0o100644, bytes });
  }
  return found;
}

/** Undefined if the two sides conflict. */
async function merge(
  own: Git,
  input: {
    change: Change;
    mine: Pick<TreeFile, "mode" | "id">;
    content: { mode: number; bytes: Uint8Array } | undefined;
    view: HostView;
    folder: string;
  },
): Promise<{ mode: number; bytes: Uint8Array } | undefined> {
  const { change, mine, content, view, folder } = input;
  const { base } = change;
  if (!content || [mine, base].some(({ id }) => id === GONE)) return undefined;
  if ([mine.mode, base.mode, content.mode].some((mode) => mode === LINK)) return undefined;
  const mode = content.mode === base.mode ? mine.mode : content.mode;
  const bytes = readFileSync(view.bytes(change.name));
  const before = await gitOk(own, ["cat-file", "blob", base.id], { what: "Cannot merge" });
  const [ours, old, theirs] = ["ours", "old", "their"].map((name) => join(folder, `merge-${name}`));
  if (!ours || !old || !theirs) return undefined;
  writeFileSync(ours, bytes);
  writeFileSync(old, before, "latin1");
  writeFileSync(theirs, content.bytes);
  const merged = await git(own, ["merge-file", "-p", "--quiet", ours, old, theirs]);
  return merged.exitCode === 0 ? { mode, bytes: Buffer.from(merged.stdout, "latin1") } : undefined;
}

function isSame(
  a: Pick<TreeFile, "mode" | "id"> | undefined,
  b: Pick<TreeFile, "mode" | "id">,
): boolean {
  if (!a || a.id === GONE) return b.id === GONE;
  return a.id === b.id && a.mode === b.mode;
}

/** Nothing is written through a symlink, over a directory of the user's, or into a repository's own directory. */
function isWritable(view: HostView, { name, theirs }: Change, changes: readonly Change[]): boolean {
  if (name.split("/").some((part) => isGitDirectory(part))) return false;
  const goes = (path: string): boolean =>
    changes.some((change) => change.name === path && change.theirs.id === GONE);
  for (let at = parentOf(name); at !== ""; at = parentOf(at)) {
    const entry = view.lstat(at);
    if (entry && typeOf(entry) !== TYPE_DIRECTORY && !(theirs.id !== GONE && goes(at)))
      return false;
    if (view.lstat(joinName(at, ".git"))) return false;
  }
  const there = view.lstat(name);
  const isFolder = there !== undefined && typeOf(there) === TYPE_DIRECTORY;
  if (!isFolder || theirs.id === GONE) return !isFolder;
  // A directory can be replaced if everything in it is removed.
  return filesBelow(view, name).every(goes);
}

function filesBelow(view: HostView, name: string): string[] {
  const children = [
    ...new Bun.Glob("**").scanSync({ cwd: view.path(name), dot: true, onlyFiles: false }),
  ];
  return children
    .map((child) => joinName(name, Buffer.from(child).toString("latin1")))
    .filter((child) => typeOf(view.lstat(child) ?? { mode: 0 }) !== TYPE_DIRECTORY);
}

export function describeApply({ changed, removed, merged, submodules }: ApplyResult): string {
  const lines = [
    ...changed.map((name) => `${merged.includes(name) ? "merged" : "updated"}  ${shownName(name)}`),
    ...removed.map((name) => `removed  ${shownName(name)}`),
    ...submodules.map((name) => `skipped  ${shownName(name)} (submodule)`),
  ];
  return lines.join("\n");
}
