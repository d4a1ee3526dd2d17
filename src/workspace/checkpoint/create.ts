/** Keeps the working tree of a workspace as a commit in the machine. Its branches and index stay as they are. */
import { mkdirSync } from "node:fs";
import { basename, join } from "node:path";
import { type Git, gitOk } from "#workspace/git/git.ts";
import { writeCommit } from "#workspace/git/worktree-tree.ts";
import type { GuestPort } from "#workspace/guest/port.ts";
import { hostItem, textItem } from "#workspace/in/items.ts";
import { type TarItem, tarOf } from "#workspace/in/tar-out.ts";
import { joinName } from "#workspace/names.ts";
import type { Captured, OpenWorkspace } from "#workspace/open.ts";
import { checkpointIds, checkpointRef } from "./refs.ts";

const WHAT = "Cannot write a checkpoint";

export interface Checkpoint {
  /** Of the repository, relative to the workspace: "" is the workspace. */
  root: string;
  number: number;
  id: string;
}

export interface CheckpointOptions {
  message?: string | undefined;
  /** Skips repositories whose working tree is that of their last checkpoint. */
  onlyChanged?: boolean;
}

/** One for each repository of the workspace, all with the same number. */
export async function createCheckpoint(
  guest: GuestPort,
  { path, workspace }: { path: string; workspace: OpenWorkspace },
  { message, onlyChanged = false }: CheckpointOptions = {},
): Promise<Checkpoint[]> {
  const all = workspace.repositories.map(({ refs }) => checkpointIds(refs));
  const number = Math.max(0, ...all.flatMap((ids) => [...ids.keys()])) + 1;
  const made: Checkpoint[] = [];
  const packs: TarItem[] = [];
  const refs: TarItem[] = [];
  for (const [at, capture] of workspace.repositories.entries()) {
    const last = [...(all[at]?.values() ?? [])].at(-1);
    if (onlyChanged && last && (await treeOf(capture.git, last)) === capture.tree) continue;
    const { head } = capture.refs;
    const id = await writeCommit(capture.git, {
      tree: capture.tree,
      parents: head ? [head] : [],
      message: message ?? `Checkpoint ${number}`,
    });
    const gitDir = joinName(capture.root, ".git");
    const folder = join(workspace.scratch, `checkpoint-${at}`);
    mkdirSync(folder);
    for (const file of await packOf(capture, id, folder)) {
      packs.push(hostItem(file, `${gitDir}/objects/pack/${basename(file)}`));
    }
    // After the objects: an interruption leaves no ref to nothing.
    refs.push(textItem(`${gitDir}/${checkpointRef(number)}`, `${id}\n`));
    made.push({ root: capture.root, number, id });
  }
  if (made.length > 0) await guest.extract(path, tarOf([...packs, ...refs]));
  return made;
}

/** The tree that a commit of the machine names; undefined if the machine does not have it. */
export async function treeOf(own: Git, commit: string): Promise<string | undefined> {
  try {
    return (await gitOk(own, ["rev-parse", "--verify", `${commit}^{tree}`], { what: WHAT })).trim();
  } catch {
    return undefined;
  }
}

/** A pack and its index with the commit and what its tree has beside that of HEAD. */
async function packOf(capture: Captured, id: string, folder: string): Promise<string[]> {
  const { git: own, tree, refs } = capture;
  const known = new Set(refs.head ? await objectsOf(own, refs.head) : []);
  const ids = [tree, ...(await objectsOf(own, tree))].filter((each) => !known.has(each));
  const stem = join(folder, "pack");
  const args = ["pack-objects", "--delta-base-offset", "--quiet", stem];
  const stdin = `${[id, ...new Set(ids)].join("\n")}\n`;
  const hash = (await gitOk(own, args, { stdin, what: WHAT })).trim();
  return ["pack", "idx"].map((extension) => `${stem}-${hash}.${extension}`);
}

/** Blobs and trees below a tree, without submodules. */
async function objectsOf(own: Git, treeish: string): Promise<string[]> {
  const text = await gitOk(own, ["ls-tree", "-r", "-t", "-z", "--full-tree", treeish], {
    what: WHAT,
  });
  return text.split("\0").flatMap((line) => {
    const [, kind, id] = line.slice(0, line.indexOf("\t")).split(" ");
    return id && kind !== "commit" ? [id] : [];
  });
}
