/** The checkpoints of a repository in a machine, and what is between two of them. */
import { BangerError } from "#base/error.ts";
import { gitOk } from "#workspace/git/git.ts";
import type { Captured } from "#workspace/open.ts";
import { treeOf } from "./create.ts";
import { checkpointIds } from "./refs.ts";

export interface LoggedCheckpoint {
  number: number;
  id: string;
  createdAt: string;
  /** The first line. */
  message: string;
}

/** The newest first. Refs that name no commit are left out. */
export async function logOf({ git: own, refs }: Captured): Promise<LoggedCheckpoint[]> {
  const ids = checkpointIds(refs);
  const entries: LoggedCheckpoint[] = [];
  for (const [number, id] of [...ids].reverse()) {
    if ((await treeOf(own, id)) === undefined) continue;
    const args = ["log", "--max-count=1", "--no-show-signature", "--format=%cI%n%s", id, "--"];
    const text = await gitOk(own, args, { what: "Cannot read a checkpoint" });
    const [createdAt = "", message = ""] = text.split("\n");
    entries.push({ number, id, createdAt, message });
  }
  return entries;
}

/** The tree of a checkpoint. `not_found`. */
export async function checkpointTree(
  { git: own, refs }: Captured,
  number: number,
): Promise<string> {
  const id = checkpointIds(refs).get(number);
  const tree = id && (await treeOf(own, id));
  if (tree) return tree;
  throw new BangerError("not_found", `no checkpoint ${number} in the machine`, {
    hint: "List them with: banger vm workspace log VM",
  });
}
