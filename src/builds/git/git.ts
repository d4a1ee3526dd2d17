/** Fetches git repositories for ADD and checks them out into a scratch directory. */
import { existsSync, lstatSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { NetworkMode } from "#api/vm.ts";
import { BangerError } from "#base/error.ts";
import type { WorkOptions } from "#base/progress.ts";
import { formatSize, GiB } from "#base/size.ts";
import { PatternList } from "#builds/copy/patterns.ts";
import { folderSource, type Source, type SourceFile } from "#builds/copy/source.ts";
import { assertMayFetch, checkSource } from "#builds/copy/url-policy.ts";
import { discard } from "#http/body.ts";
import { statusFailure } from "#http/failure.ts";
import { checkReach } from "#http/reach.ts";
import { send } from "#http/transport.ts";
import { startWatchdog } from "#http/watchdog.ts";
import { type GitAddress, shownAddress } from "./address.ts";
import { type GitHome, git, gitFailure, gitHome, gitOk, REMOTE } from "./run.ts";
import { submodulesOf } from "./submodules.ts";

const ANSWER_TIMEOUT_MS = 60_000;
const FILES_MAX = 500_000;
const SIZE_MAX_BYTES = 8 * GiB;
const SUBMODULES_MAX = 200;
const SUBMODULE_DEPTH_MAX = 10;
const COMMIT = /^([0-9a-f]{40}|[0-9a-f]{64})$/;

/** The commit that an address resolves to. */
export interface GitCommit {
  address: GitAddress;
  /** Undefined if the address has the full commit hash, which needs no request. */
  home: GitHome | undefined;
  /** The full name of the branch or tag; undefined for a commit. */
  ref: string | undefined;
  /** The object of the ref: a commit or an annotated tag. */
  object: string;
  commit: string;
}

type OpenCommit = GitCommit & { home: GitHome };

export interface GitOptions extends WorkOptions {
  /** Scratch directory for the repository. */
  folder: string;
  network: NetworkMode | undefined;
  privateHosts: readonly string[];
  keepGitDir: boolean;
}

interface Budget {
  files: number;
  size_bytes: number;
  submodules: number;
}

/** `not_found` for a missing repository or ref, `integrity` for a wrong checksum. */
export async function resolveRepository(
  address: GitAddress,
  options: GitOptions,
): Promise<GitCommit> {
  const { checksum, ref } = address;
  if (checksum !== undefined && !/^[0-9a-f]+$/i.test(checksum)) {
    throw new BangerError("invalid_argument", `invalid repository checksum "${checksum}"`, {
      hint: "Use the commit hash, or its beginning",
    });
  }
  checkAddress(address.url, options.network);
  const isCommit = ref !== undefined && COMMIT.test(ref);
  const home = isCommit
    ? undefined
    : await openRemote(address.url, { ...options, parent: undefined });
  const found = home
    ? await lookUp(home, address)
    : { ref: undefined, object: ref ?? "", commit: ref ?? "" };
  const isRight = [found.object, found.commit].some((hash) =>
    hash.startsWith(checksum?.toLowerCase() ?? ""),
  );
  if (!isRight) {
    throw new BangerError(
      "integrity",
      `checksum mismatch for ${shownAddress(address.url)}: got commit ${found.commit}`,
    );
  }
  return { address, home, ...found };
}

/** Checks out a commit. */
export async function checkOut(found: GitCommit, options: GitOptions): Promise<Source> {
  const { address } = found;
  const shown = shownAddress(address.url);
  const tree = join(options.folder, `${crypto.randomUUID()}.tree`);
  const keeps = options.keepGitDir && address.subdir === "";
  mkdirSync(tree, { mode: 0o755 });
  const budget = { files: 0, size_bytes: 0, submodules: 0 };
  const home = found.home ?? (await openRemote(address.url, { ...options, parent: undefined }));
  await fill({ ...found, home }, { ...options, tree, budget, depth: 0, keepGitDir: keeps });
  const folder = address.subdir.split("/").reduce((at, name) => {
    const next = join(at, name);
    const stat = lstatSync(next, { throwIfNoEntry: false });
    if (stat?.isDirectory()) return next;
    throw new BangerError("not_found", `${shown} has no directory "${address.subdir}"`);
  }, tree);
  return withGitModes(folderSource(folder, new PatternList([])), shown);
}

/** Checks the server before git connects: whether it may be reached, and its redirects. */
async function openRemote(
  url: URL,
  options: GitOptions & { parent: URL | undefined },
): Promise<GitHome> {
  const { network, signal, folder, parent } = options;
  const shown = shownAddress(url);
  checkAddress(url, network);
  const home = parent ?? url;
  const checked = await checkSource(url, options);
  let address = (await checkReach(url, { home })) ?? checked;
  let final = url;
  if (url.protocol !== "git:") {
    const refsUrl = new URL(url);
    refsUrl.pathname += "/info/refs";
    refsUrl.search = "?service=git-upload-pack";
    const authorization = loginOf(refsUrl);
    using watchdog = startWatchdog({
      what: `from "${url.host}"`,
      timeout_ms: ANSWER_TIMEOUT_MS,
      signal,
    });
    const answer = await send({
      url: refsUrl,
      home,
      address,
      authorization,
      signal: watchdog.signal,
    });
    if (answer.response.status !== 200) {
      throw await statusFailure(answer.response, { action: `fetch ${shown}`, host: url.host });
    }
    await discard(answer.response);
    const { pathname, search } = answer.url;
    if (!pathname.endsWith("/info/refs") || search !== refsUrl.search) {
      throw new BangerError(
        "unavailable",
        `Cannot fetch ${shown}: redirect to something that is not a repository`,
      );
    }
    final = new URL(answer.url);
    final.pathname = pathname.slice(0, -"/info/refs".length);
    final.search = "";
    if (final.origin === url.origin)
      [final.username, final.password] = [url.username, url.password];
    else address = (await checkReach(final, { home: url })) ?? (await checkSource(final, options));
  }
  const place = join(folder, `${crypto.randomUUID()}.git-home`);
  return gitHome(place, { url: final, address, signal });
}

function checkAddress(url: URL, network: NetworkMode | undefined): void {
  const shown = shownAddress(url);
  if (url.protocol === "ssh:") {
    throw new BangerError("unsupported", `Cannot fetch ${shown}: SSH is not supported`, {
      hint: "Use the repository's https URL",
    });
  }
  assertMayFetch(shown, network);
}

/** Credentials in the address are sent as a header. */
function loginOf(url: URL): string | undefined {
  if (url.username === "") return undefined;
  const login = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
  url.username = "";
  url.password = "";
  return `Basic ${Buffer.from(login).toString("base64")}`;
}

/** As git checkout: branches take precedence over tags. */
async function lookUp(
  home: GitHome,
  { ref, url }: GitAddress,
): Promise<Pick<GitCommit, "ref" | "object" | "commit">> {
  const shown = shownAddress(url);
  const what = `Cannot fetch ${shown}`;
  const names = ref === undefined ? ["HEAD"] : [ref, `${ref}^{}`];
  const args = ["ls-remote", "--symref", "--", REMOTE, ...names];
  const lines = (await gitOk(home, args, what)).split("\n");
  const hashes = new Map<string, string>();
  let head: string | undefined;
  for (const line of lines) {
    const [left = "", name = ""] = line.split("\t");
    if (left.startsWith("ref: ") && name === "HEAD") head = left.slice(5);
    else if (COMMIT.test(left)) hashes.set(name, left);
  }
  if (ref === undefined) {
    const commit = hashes.get("HEAD");
    if (commit) return { ref: head ?? "HEAD", object: commit, commit };
    throw new BangerError("not_found", `${shown} has no default branch`);
  }
  const short = ref.replace(/^refs\//, "");
  const candidates = [
    `refs/${short}`,
    `refs/heads/${ref.replace(/^refs\/heads\//, "")}`,
    `refs/tags/${ref.replace(/^refs\/tags\//, "")}`,
  ];
  const full = candidates.find((name) => hashes.has(name));
  const object = full && hashes.get(full);
  if (!full || !object) {
    throw new BangerError("not_found", `${shown} has no branch or tag "${ref}"`, {
      hint: /^[0-9a-f]{4,64}$/.test(ref) ? "For a commit, use the full hash" : undefined,
    });
  }
  return { ref: full, object, commit: hashes.get(`${full}^{}`) ?? object };
}

interface FillOptions extends GitOptions {
  /** An empty directory for the files. */
  tree: string;
  budget: Budget;
  depth: number;
}

async function fill(found: OpenCommit, options: FillOptions): Promise<void> {
  const { home, commit, object, address } = found;
  const { tree, folder, keepGitDir, onProgress } = options;
  const shown = shownAddress(address.url);
  const what = `Cannot fetch ${shown}`;
  const message = `Fetching ${shown}`;
  onProgress?.({ step: message, message });
  const gitDir = keepGitDir ? join(tree, ".git") : join(folder, `${crypto.randomUUID()}.git`);
  const inside = [`--git-dir=${gitDir}`, `--work-tree=${tree}`];
  const format = commit.length === 64 ? ["--object-format=sha256"] : [];
  await gitOk(home, [...inside, "init", "--quiet", ...format], what);
  await fetchObjects(home, found, inside);
  const isCommit = await git(home, [...inside, "cat-file", "-e", `${commit}^{commit}`]);
  if (isCommit.exitCode !== 0) {
    if (found.ref === undefined) {
      throw new BangerError("not_found", `${what}: no such commit ${commit}`);
    }
    throw new BangerError("conflict", `${what}: ${found.ref} changed during the fetch`);
  }
  const links = await count(home, { inside, commit, budget: options.budget, shown });
  await gitOk(home, [...inside, "checkout", "--quiet", "--force", "--detach", commit], what);
  if (keepGitDir) finishGitDir(gitDir, { url: address.url, ref: found.ref, object });
  else rmSync(gitDir, { recursive: true, force: true });
  if (!address.submodules || links.length === 0) return;
  if (options.depth === SUBMODULE_DEPTH_MAX) {
    throw new BangerError("limit_exceeded", `${shown} has submodules that are nested too deeply`);
  }
  for (const module of await submodulesOf(home, { tree, links, parent: home.url, shown })) {
    if (++options.budget.submodules > SUBMODULES_MAX) {
      throw new BangerError(
        "limit_exceeded",
        `${shown} has more than ${SUBMODULES_MAX} submodules`,
      );
    }
    const inner = { ...options, tree: module.folder, keepGitDir: false, depth: options.depth + 1 };
    const opened = await openRemote(module.url, { ...inner, parent: home.url });
    const own = { ...address, url: module.url, ref: undefined, subdir: "" };
    const { commit: pinned } = module;
    await fill(
      { address: own, home: opened, ref: undefined, object: pinned, commit: pinned },
      inner,
    );
  }
}

/** A shallow fetch, if the server supports it; dumb HTTP servers send everything. */
async function fetchObjects(
  home: GitHome,
  { ref, object, address }: OpenCommit,
  inside: readonly string[],
): Promise<void> {
  const wanted =
    ref === undefined ? object : `+${ref}:${ref === "HEAD" ? "refs/heads/master" : ref}`;
  const shallow = ["fetch", "--quiet", "--depth=1", "--no-tags", "-u", REMOTE, wanted];
  if ((await git(home, [...inside, ...shallow])).exitCode === 0) return;
  const full = ["fetch", "--quiet", "--no-tags", "-u", REMOTE];
  const one = await git(home, [...inside, ...full, wanted]);
  if (one.exitCode === 0) return;
  const what = `Cannot fetch ${shownAddress(address.url)}`;
  if (ref !== undefined) throw gitFailure(what, one);
  // The server may not serve commits by hash: fetch all branches and tags.
  const all = ["+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"];
  await gitOk(home, [...inside, ...full, ...all], what);
}

/** Counts the files of a checkout against the budget. Returns the submodules. */
async function count(
  home: GitHome,
  options: { inside: readonly string[]; commit: string; budget: Budget; shown: string },
): Promise<{ path: string; commit: string }[]> {
  const { inside, commit, budget, shown } = options;
  const what = `Cannot read the files of ${shown}`;
  const list = async (...flags: string[]): Promise<string[]> =>
    (await gitOk(home, [...inside, "ls-tree", "-r", "-z", ...flags, commit], what)).split("\0");
  // Sizes are slow to list, so the number of names is checked first.
  const names = await list("--name-only").catch((error: unknown) => {
    const isTooMuch = error instanceof BangerError && error.code === "limit_exceeded";
    throw isTooMuch ? tooLarge(shown) : error;
  });
  budget.files += names.length;
  if (budget.files > FILES_MAX) throw tooLarge(shown);
  const links: { path: string; commit: string }[] = [];
  for (const line of await list("-l")) {
    const [, type, hash = "", size = "", path = ""] =
      /^\d+ (\w+) ([0-9a-f]+) +(\d+|-)\t([\s\S]+)$/.exec(line) ?? [];
    budget.size_bytes += Number(size) || 0;
    if (type === "commit") links.push({ path, commit: hash });
  }
  if (budget.size_bytes > SIZE_MAX_BYTES) throw tooLarge(shown);
  return links;
}

function tooLarge(shown: string): BangerError {
  return new BangerError(
    "limit_exceeded",
    `${shown} has more than ${FILES_MAX} files, or more than ${formatSize(SIZE_MAX_BYTES)} of them`,
  );
}

/** Cleans up .git for the image: a remote without credentials, and nothing of this host. */
function finishGitDir(
  gitDir: string,
  { url, ref, object }: { url: URL; ref: string | undefined; object: string },
): void {
  for (const name of ["FETCH_HEAD", "logs", "branches", "hooks"]) {
    rmSync(join(gitDir, name), { recursive: true, force: true });
  }
  const config = join(gitDir, "config");
  const remote = `[remote "origin"]\n\turl = ${shownAddress(url)}\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n`;
  writeFileSync(config, remote, { flag: "a" });
  const branch = ref?.startsWith("refs/heads/") ? ref.slice("refs/heads/".length) : undefined;
  const own = branch && join(gitDir, "refs/remotes/origin", branch);
  if (!own || existsSync(own)) return;
  mkdirSync(join(own, ".."), { recursive: true });
  writeFileSync(own, `${object}\n`);
}

/** git stores only the executable bit; normalizes modes independently of this process's umask. */
function withGitModes(source: Source, what: string): Source {
  const stat = (path: string): SourceFile | undefined => {
    const file = source.stat(path);
    if (!file || file.type === "symlink") return file;
    const isRun = file.type === "directory" || (file.mode & 0o100) !== 0;
    const mode = (isRun ? 0o755 : 0o644) & ((file.mode & 0o200) === 0 ? 0o555 : 0o777);
    return { ...file, mode };
  };
  return { ...source, what, stat };
}
