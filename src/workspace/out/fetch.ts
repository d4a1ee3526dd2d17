/**
 * Brings commits and the uncommitted state of a machine into refs of the user's repository. Everything is checked in a
 * scratch repository first. Nothing is checked out, and no hook, configuration or submodule URL is used.
 */
import { mkdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { BangerError } from "#base/error.ts";
import { readConfig } from "#workspace/git/config.ts";
import { type Git, git, gitError, gitOk } from "#workspace/git/git.ts";
import { makeScratch, objectsOf } from "#workspace/git/scratch.ts";
import type { Repository } from "#workspace/git/source.ts";
import { writeCommit } from "#workspace/git/worktree-tree.ts";
import type { Captured } from "#workspace/open.ts";
import { lockFetches, placePack, removeStaleLocks } from "./place-pack.ts";

export interface FetchedRef {
  name: string;
  id: string;
  /** Undefined: it is new. */
  before: string | undefined;
}

export interface FetchResult {
  refs: FetchedRef[];
  /** No longer in the machine. */
  removed: string[];
  /** Skipped: names that git does not accept. */
  refused: string[];
}

/** `prefix`: "refs/banger/NAME". `scratch`: a scratch directory. */
export async function fetchInto(
  repository: Repository,
  capture: Captured,
  { prefix, scratch, max_bytes }: { prefix: string; scratch: string; max_bytes: number },
): Promise<FetchResult> {
  mkdirSync(scratch, { recursive: true });
  const wanted = await refsOf(repository, capture, prefix);
  await takeIn(repository, capture.git, { ids: [...wanted.values()], scratch, max_bytes });
  const own = repository.git;
  const what = `Cannot update ${prefix}`;
  const before = new Map<string, string>();
  const text = await gitOk(
    own,
    ["for-each-ref", "--format=%(refname) %(objectname)", `${prefix}/`],
    { what },
  );
  for (const line of text.split("\n")) {
    const [name = "", id = ""] = line.split(" ");
    if (name !== "") before.set(name, id);
  }
  const removed = [...before.keys()].filter((name) => !wanted.has(name) && !/\/base$/.test(name));
  const refs = [...wanted].map(([name, id]) => ({ name, id, before: before.get(name) }));
  const changed = refs.filter(({ id, before: old }) => id !== old);
  using _ = await lockFetches(repository);
  await removeStaleLocks(repository, prefix);
  const lines = [
    ...removed.map((name) => `delete ${name} ${before.get(name)}\n`),
    ...changed.map(
      ({ name, id, before: old = "" }) => `update ${name} ${id} ${old || "0".repeat(id.length)}\n`,
    ),
  ];
  if (lines.length > 0) {
    const updated = await git(own, ["update-ref", "--no-deref", "--stdin"], {
      stdin: `start\n${lines.join("")}prepare\ncommit\n`,
    });
    if (updated.exitCode !== 0) throw gitError(what, updated);
  }
  return { refs, removed, refused: capture.refs.refused };
}

/** Commits of the index and the working tree, where they differ from HEAD, on top of it. */
export async function dirtyCommits(
  capture: Captured,
): Promise<{ index?: string; worktree?: string }> {
  const { git: own, refs, tree, indexTree } = capture;
  const head = refs.head ? [refs.head] : [];
  const headTree = refs.head
    ? (
        await gitOk(own, ["rev-parse", `${refs.head}^{tree}`], {
          what: "Cannot read HEAD of the machine",
        })
      ).trim()
    : undefined;
  const index =
    indexTree && indexTree !== headTree && (headTree || capture.index.length > 0)
      ? await writeCommit(own, {
          tree: indexTree,
          parents: head,
          message: "Index of the workspace",
        })
      : undefined;
  const parents = index ? [...head, index] : head;
  if (tree === headTree && !index) return {};
  const worktree = await writeCommit(own, {
    tree,
    parents,
    message: "Working tree of the workspace",
  });
  return index ? { index, worktree } : { worktree };
}

async function refsOf(
  repository: Repository,
  capture: Captured,
  prefix: string,
): Promise<Map<string, string>> {
  const text = await gitOk(
    repository.git,
    ["for-each-ref", "--format=%(refname) %(objectname)", "refs/tags"],
    {
      what: "Cannot read the repository's tags",
    },
  );
  const tags = new Set(text.split("\n"));
  const wanted = new Map<string, string>();
  const { head, refs } = capture.refs;
  if (head) wanted.set(`${prefix}/HEAD`, head);
  for (const [name, id] of refs) {
    const match = /^refs\/(heads|tags)\/(.+)$/.exec(name);
    // Skip tags that the user already has.
    if (match && !tags.has(`${name} ${id}`)) wanted.set(`${prefix}/${match[1]}/${match[2]}`, id);
  }
  const { index, worktree } = await dirtyCommits(capture);
  if (index) wanted.set(`${prefix}/index`, index);
  if (worktree) wanted.set(`${prefix}/worktree`, worktree);
  return wanted;
}

/** Packs what is missing, checks it beside the user's repository, and only then puts it there. */
async function takeIn(
  repository: Repository,
  from: Git,
  { ids, scratch, max_bytes }: { ids: readonly string[]; scratch: string; max_bytes: number },
): Promise<void> {
  const what = "Cannot fetch from the machine";
  const own = repository.git;
  const haves = (await gitOk(own, ["for-each-ref", "--format=%(objectname)"], { what })).trim();
  const head = await git(own, ["rev-parse", "--quiet", "--verify", "HEAD"]);
  const stem = join(scratch, "in");
  const packed = await git(
    from,
    [
      "pack-objects",
      "--revs",
      "--delta-base-offset",
      "--non-empty",
      "--quiet",
      ...partial(repository),
      stem,
    ],
    { stdin: `${[...new Set(ids)].join("\n")}\n--not\n${haves}\n${head.stdout}` },
  );
  if (packed.exitCode !== 0) throw refusedBy(gitError(what, packed));
  const hash = packed.stdout.trim();
  if (hash === "") return;
  const pack = `${stem}-${hash}.pack`;
  if (statSync(pack).size > max_bytes) {
    throw new BangerError(
      "limit_exceeded",
      `${what}: its new objects are larger than ${max_bytes} bytes`,
      {
        hint: "Raise the limit with --max-size",
      },
    );
  }
  const beside = makeScratch(join(scratch, "check"), {
    hash: repository.hash,
    alternates: objectsOf(repository),
    // So that the pack has the mode that it needs there.
    config: (await readConfig(own)).filter(([key]) => key === "core.sharedrepository"),
    signal: own.signal,
  });
  const bytes = Bun.file(pack);
  const checked = await git(beside, ["index-pack", "--strict", "--fsck-objects", "--stdin"], {
    stdin: bytes,
  });
  if (checked.exitCode !== 0) throw refusedBy(gitError(what, checked));
  const walk = await git(
    beside,
    [
      "rev-list",
      "--objects",
      "--quiet",
      "--stdin",
      ...(repository.isPartial ? ["--missing=allow-any"] : []),
    ],
    { stdin: `${[...new Set(ids)].join("\n")}\n${haves.replace(/^(?=.)/gm, "^")}\n` },
  );
  if (walk.exitCode !== 0) throw refusedBy(gitError(what, walk));
  placePack(repository, join(beside.gitDir, "objects/pack"));
}

function partial({ isPartial }: Repository): string[] {
  return isPartial ? ["--missing=allow-any"] : [];
}

function refusedBy(error: BangerError): BangerError {
  return new BangerError("integrity", error.message, {
    hint: "The machine's objects do not pass git's checks. Single files can be copied with: banger vm cp",
  });
}
