/** Sets the working tree in a machine back to a checkpoint. Its branches, index and ignored files stay as they are. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { BangerError } from "#base/error.ts";
import { type Git, git, gitError, gitOk } from "#workspace/git/git.ts";
import { type GuestPort, type TreeEntry, TYPE_DIRECTORY, typeOf } from "#workspace/guest/port.ts";
import { HostView } from "#workspace/in/host-files.ts";
import { type TarItem, tarOf } from "#workspace/in/tar-out.ts";
import { joinName, parentOf, splitNul } from "#workspace/names.ts";
import type { Captured, OpenWorkspace } from "#workspace/open.ts";
import { checkpointTree } from "./log.ts";

const WHAT = "Cannot restore the checkpoint";
const SUBMODULE = "160000";

export interface RestoreResult {
  root: string;
  written: number;
  removed: number;
}

/** Repositories of the workspace that have no checkpoint of this number stay as they are. */
export async function restoreCheckpoint(
  guest: GuestPort,
  { path, workspace }: { path: string; workspace: OpenWorkspace },
  number: number,
): Promise<RestoreResult[]> {
  const results: RestoreResult[] = [];
  for (const [at, capture] of workspace.repositories.entries()) {
    const isFirst = at === 0;
    const target = await treeIn(capture, number, isFirst);
    if (target === undefined) continue;
    const folder = join(workspace.scratch, `restore-${at}`);
    mkdirSync(folder);
    const change = await changesOf(capture, target);
    const items = await filesOf(capture, { target, names: change.written, folder });
    const own = (name: string): string => joinName(capture.root, name);
    const inTheWay = obstacles(change.written.map(own), workspace.tree);
    for (const name of new Set([...change.removed.map(own), ...inTheWay])) {
      await guest.remove(path, name);
    }
    if (items.length > 0) await guest.extract(path, tarOf(items));
    const { root } = capture;
    results.push({ root, written: change.written.length, removed: change.removed.length });
  }
  return results;
}

/** The workspace itself must have the checkpoint. */
async function treeIn(
  capture: Captured,
  number: number,
  isRequired: boolean,
): Promise<string | undefined> {
  try {
    return await checkpointTree(capture, number);
  } catch (error) {
    if (!isRequired && error instanceof BangerError && error.code === "not_found") return undefined;
    throw error;
  }
}

async function changesOf(
  { git: own, tree }: Captured,
  target: string,
): Promise<{ written: string[]; removed: string[] }> {
  const args = ["diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-ext-diff", tree, target];
  const parts = splitNul(await gitOk(own, args, { what: WHAT }));
  const written: string[] = [];
  const removed: string[] = [];
  for (let at = 0; at + 1 < parts.length; at += 2) {
    const [before = "", after = "", , , status] = (parts[at] ?? "").slice(1).split(" ");
    const name = parts[at + 1] ?? "";
    if (before === SUBMODULE || after === SUBMODULE) continue;
    if (status === "D") removed.push(name);
    else written.push(name);
  }
  return { written, removed };
}

/** Checks the files out into `folder`, with the line ends that the working tree has. */
async function filesOf(
  { git: own, root }: Captured,
  { target, names, folder }: { target: string; names: readonly string[]; folder: string },
): Promise<TarItem[]> {
  if (names.length === 0) return [];
  await checkNames(own, target);
  const scratch: Git = { ...own, workTree: folder, indexFile: `${folder}.index` };
  await gitOk(scratch, ["read-tree", target], { what: WHAT });
  const args = ["checkout-index", "-z", "--stdin", "--force", "--quiet"];
  const stdin = names.map((name) => `${name}\0`).join("");
  const checkedOut = await git(scratch, args, { stdin });
  if (checkedOut.exitCode !== 0) throw gitError(WHAT, checkedOut);
  const view = new HostView(folder);
  return names.map((name): TarItem => {
    const entry = view.lstat(name);
    if (!entry) throw invalid(name);
    return {
      kind: "host",
      path: view.bytes(name),
      entry: { ...entry, name: joinName(root, name) },
    };
  });
}

/** The tree may be the guest's own: no name of it may lead out of the directory that it is checked out into. */
async function checkNames(own: Git, target: string): Promise<void> {
  const args = ["ls-tree", "-r", "-z", "--full-tree", "--name-only", target];
  const names = splitNul(await gitOk(own, args, { what: WHAT }));
  const files = new Set(names);
  if (files.size !== names.length) throw invalid(target);
  for (const name of names) {
    const parts = name.split("/");
    const isBad = parts.some((part) => /^(|\.|\.\.|\.git)$/i.test(part));
    if (isBad) throw invalid(name);
    for (let at = parentOf(name); at !== ""; at = parentOf(at))
      if (files.has(at)) throw invalid(at);
  }
}

/** Directories where files go, and files where directories go. */
function obstacles(names: readonly string[], tree: ReadonlyMap<string, TreeEntry>): string[] {
  const isDirectory = (entry: TreeEntry): boolean => typeOf(entry) === TYPE_DIRECTORY;
  const found = new Set<string>();
  for (const name of names) {
    const entry = tree.get(name);
    if (entry && isDirectory(entry)) found.add(name);
    for (let at = parentOf(name); at !== ""; at = parentOf(at)) {
      const parent = tree.get(at);
      if (parent && !isDirectory(parent)) found.add(at);
    }
  }
  return [...found];
}

function invalid(name: string): BangerError {
  return new BangerError("integrity", `${WHAT}: invalid name in its tree: ${JSON.stringify(name)}`);
}
