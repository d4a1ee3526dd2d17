/** Packs the objects that a machine does not have yet, on the host, with their index: no git is needed in the machine. */
import { join } from "node:path";
import { type Git, gitOk } from "./git.ts";
import type { Repository } from "./source.ts";

export interface PackRequest {
  /** Commits, tags and other objects, with everything that they lead to. */
  tips: readonly string[];
  /** Objects that are in the machine, with everything that they lead to. */
  haves: readonly string[];
  /** Commits without parents; undefined for those of the repository itself. */
  shallow: readonly string[] | undefined;
  folder: string;
}

/** The names of the files in `folder`; undefined if nothing is missing. */
export async function makePack(
  repository: Repository,
  { tips, haves, shallow, folder }: PackRequest,
): Promise<{ pack: string; idx: string } | undefined> {
  if (tips.length === 0) return undefined;
  const lines = [...(shallow ?? []).map((id) => `--shallow ${id}`), ...tips, "--not", ...haves];
  const args = [
    ...(shallow ? ["--shallow-file", ""] : []),
    "pack-objects",
    ...["--revs", "--delta-base-offset", "--non-empty", "--quiet"],
    ...(shallow ? ["--shallow"] : []),
    ...(repository.isPartial ? ["--missing=allow-any"] : []),
    join(folder, "pack"),
  ];
  const stdout = await gitOk(repository.git, args, {
    stdin: `${lines.join("\n")}\n`,
    what: `Cannot import "${repository.top}"`,
  });
  const hash = stdout.trim();
  if (hash === "") return undefined;
  return { pack: join(folder, `pack-${hash}.pack`), idx: join(folder, `pack-${hash}.idx`) };
}

/** The boundary commits of a history of this depth, and those of a shallow repository. */
export async function shallowAt(own: Git, head: string, depth: number): Promise<string[]> {
  const text = await gitOk(own, ["rev-list", "--parents", head], {
    what: "Cannot cut the history",
  });
  const parents = new Map<string, string[]>();
  for (const line of text.split("\n")) {
    const [id = "", ...rest] = line.split(" ");
    if (id !== "") parents.set(id, rest);
  }
  const seen = new Set([head]);
  let level = [head];
  for (let at = 1; at < depth && level.length > 0; at++) {
    const next = level.flatMap((id) => parents.get(id) ?? []).filter((id) => !seen.has(id));
    level = [...new Set(next)];
    for (const id of level) seen.add(id);
  }
  // A merge can be within the depth on one side and beyond it on the other.
  return [...seen].filter((id) => (parents.get(id) ?? []).some((parent) => !seen.has(parent)));
}

/** The objects that a partial clone has. */
export async function localObjects(own: Git): Promise<Set<string>> {
  const args = ["cat-file", "--batch-all-objects", "--batch-check=%(objectname)", "--unordered"];
  const text = await gitOk(own, args, { what: "Cannot list the objects of the repository" });
  return new Set(text.split("\n"));
}
