/**
 * Finds the repository that a directory of the host belongs to. The directory may come from elsewhere: its `.git` must
 * not lead to a repository of the user's that is somewhere else, nor its configuration to another working tree.
 */
import { lstatSync, readFileSync, realpathSync, statSync } from "node:fs";
import { dirname, isAbsolute, join, resolve } from "node:path";
import { BangerError, errnoOf } from "#base/error.ts";
import { sudoUser_uid } from "#config/environment.ts";
import { type Git, git, gitOk, requireGit } from "./git.ts";

const LINK_MAX_BYTES = 8192;

export interface Repository {
  kind: "repository";
  /** The working tree. */
  top: string;
  gitDir: string;
  /** Differs from gitDir in a linked worktree. */
  commonDir: string;
  hash: "sha1" | "sha256";
  hash_bytes: number;
  isShallow: boolean;
  /** Of a partial clone: objects may be missing. */
  isPartial: boolean;
  git: Git;
}

export interface PlainFolder {
  kind: "folder";
  top: string;
}

/** `path`: anywhere in the working tree. */
export async function findSource(
  path: string,
  signal?: AbortSignal,
): Promise<Repository | PlainFolder> {
  const start = realFolder(path);
  for (let top = start; ; top = dirname(top)) {
    if (isRepositoryAt(top)) return await openRepository(top, signal);
    if (top === dirname(top)) return { kind: "folder", top: start };
  }
}

export function isRepositoryAt(top: string): boolean {
  return lstatSync(join(top, ".git"), { throwIfNoEntry: false }) !== undefined;
}

export async function openRepository(top: string, signal?: AbortSignal): Promise<Repository> {
  requireGit();
  const gitDir = gitDirOf(top);
  await checkOwner(top, gitDir);
  const commonDir = commonDirOf(top, gitDir);
  const own: Git = { gitDir, workTree: top, signal };
  const what = `Cannot read the repository "${top}"`;
  const facts = await gitOk(
    own,
    ["rev-parse", "--show-object-format", "--is-shallow-repository", "--is-bare-repository"],
    { what },
  );
  const [hash = "sha1", isShallow] = facts.trim().split("\n");
  const partial = await git(own, [
    "config",
    "--get-regexp",
    "^(extensions.partialclone|remote\\..*\\.promisor)$",
  ]);
  return {
    kind: "repository",
    top,
    gitDir,
    commonDir,
    hash: hash === "sha256" ? "sha256" : "sha1",
    hash_bytes: hash === "sha256" ? 32 : 20,
    isShallow: isShallow === "true",
    isPartial: partial.exitCode === 0,
    git: own,
  };
}

function realFolder(path: string): string {
  try {
    const real = realpathSync(path);
    if (statSync(real).isDirectory()) return real;
    throw new BangerError("invalid_argument", `Cannot import "${path}": not a directory`);
  } catch (error) {
    if (errnoOf(error) !== "ENOENT" && errnoOf(error) !== "ENOTDIR") throw error;
    throw new BangerError("not_found", `Cannot import "${path}": no such directory`);
  }
}

/** A directory, or a file that leads to one which leads back, as linked worktrees and submodules have it. */
function gitDirOf(top: string): string {
  const dotGit = join(top, ".git");
  const info = lstatSync(dotGit);
  if (info.isDirectory()) return dotGit;
  if (!info.isFile() || info.size > LINK_MAX_BYTES) throw foreign(top, dotGit);
  const target = /^gitdir: (.+?)\n*$/s.exec(readFileSync(dotGit, "utf8"))?.[1];
  if (!target) throw foreign(top, dotGit);
  const gitDir = realpathSyncOr(isAbsolute(target) ? target : resolve(top, target));
  if (!gitDir) {
    throw new BangerError(
      "not_found",
      `Cannot import "${top}": its repository "${target}" is missing`,
      {
        hint: "Repair the worktree with: git worktree repair",
      },
    );
  }
  if (!leadsBack(gitDir, top)) throw foreign(top, gitDir);
  return gitDir;
}

function leadsBack(gitDir: string, top: string): boolean {
  const back = readSmall(join(gitDir, "gitdir"))?.trim();
  if (back && realpathSyncOr(dirname(resolve(gitDir, back))) === top) return true;
  const config = readSmall(join(gitDir, "config")) ?? "";
  const worktree = /^\s*worktree\s*=\s*"?(.+?)"?\s*$/m.exec(config)?.[1];
  return worktree !== undefined && realpathSyncOr(resolve(gitDir, worktree)) === top;
}

function commonDirOf(top: string, gitDir: string): string {
  const text = readSmall(join(gitDir, "commondir"))?.trim();
  if (text === undefined) return gitDir;
  const common = realpathSyncOr(resolve(gitDir, text));
  // A worktree is registered in the repository that it is one of.
  const isRegistered = common !== undefined && dirname(gitDir) === join(common, "worktrees");
  if (!isRegistered) throw foreign(top, text);
  return common;
}

/** As git does it: somebody else's repository is read only if the user says that it is safe. */
async function checkOwner(top: string, gitDir: string): Promise<void> {
  const user = process.geteuid?.() ?? 0;
  const trusted = new Set([user, user === 0 ? (sudoUser_uid() ?? 0) : user]);
  for (const path of [top, gitDir]) {
    const owner = statSync(path).uid;
    if (trusted.has(owner)) continue;
    const safe = await git({ gitDir: "/" }, ["config", "--global", "--get-all", "safe.directory"]);
    const allowed = safe.stdout.split("\n").map((line) => Buffer.from(line, "latin1").toString());
    if (allowed.includes("*") || allowed.includes(top)) continue;
    throw new BangerError(
      "permission_denied",
      `Cannot import "${top}": dubious ownership: it belongs to user ${owner}`,
      { hint: `If you trust it: git config --global --add safe.directory ${top}` },
    );
  }
}

function foreign(top: string, target: string): BangerError {
  return new BangerError(
    "permission_denied",
    `Cannot import "${top}": its .git leads to "${target}", which does not lead back`,
    { hint: "Import the directory of the repository itself" },
  );
}

function readSmall(path: string): string | undefined {
  try {
    const text = readFileSync(path, "utf8");
    return text.length > 1024 * 1024 ? undefined : text;
  } catch {
    return undefined;
  }
}

function realpathSyncOr(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch {
    return undefined;
  }
}
