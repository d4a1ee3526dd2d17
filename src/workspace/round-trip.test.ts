/**
 * Repositories in many states go into a machine, are compared byte by byte with the original, changed there, shown,
 * fetched and applied back, and compared again. A directory stands in for the machine's disk.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TestRepository } from "#test/git-server.ts";
import { describeRepository, gitIn } from "#test/workspace-compare.ts";
import { folderGuest } from "#test/workspace-folder.ts";
import { states } from "#test/workspace-states.ts";
import { submoduleStates } from "#test/workspace-submodules.ts";
import { findSource, openRepository } from "./git/source.ts";
import { HostView } from "./in/host-files.ts";
import { importWorkspace } from "./in/import.ts";
import { openWorkspace } from "./open.ts";
import { applyTo } from "./out/apply.ts";
import { fetchInto } from "./out/fetch.ts";
import { parseStatus, statusOf } from "./out/report.ts";
import { readRecord } from "./record.ts";

const MAX_BYTES = 64 * 1024 * 1024;
let place: string;
let count = 0;

beforeAll(() => {
  place = mkdtempSync(join(tmpdir(), "banger-round-trip-"));
});
afterAll(() => rmSync(place, { recursive: true, force: true }));

const cases = [...states, ...submoduleStates].map((state) => [state.name, state] as const);

describe("a repository goes in and comes back", () => {
  test.each(cases)("%s", async (_, state) => {
    const folder = join(place, String(count++));
    const guest = folderGuest(join(folder, "guest"));
    const record = join(folder, "record");
    const repo = new TestRepository(join(folder, "repo"), state.options);
    const source = state.make(repo) ?? repo.path;
    const { top } = await findSource(source);
    rmSync(`${repo.path}-trapped`, { force: true });
    const before = describeRepository(top, { withGitDir: true });
    const result = await importWorkspace(guest, { vm: "vm", source, path: "/w", folder: record });
    expect(describeRepository(top, { withGitDir: true })).toEqual(before);
    const there = guest.at("/w");
    gitIn(there, "config", "user.email", "inside@example.com");
    gitIn(there, "config", "user.name", "inside");
    // So that git itself can look at it.
    gitIn(top, "config", "--remove-section", "filter.trap");
    expect(describeRepository(there, {})).toEqual(describeRepository(top, {}));
    expect(gitIn(there, "fsck", "--connectivity-only").stderr).not.toMatch(
      /missing|broken|error|fatal/,
    );
    expect(result.secrets).toEqual([]);

    changeInside(there);
    const repository = await openRepository(top);
    const request = { path: "/w", record: readRecord(record), folder: record, source: top };
    using workspace = await openWorkspace(guest, { ...request, max_bytes: MAX_BYTES });
    const [capture] = workspace.repositories;
    if (!capture) throw new Error("no repository in the machine");
    // A file that git was told to assume unchanged is shown all the same.
    gitIn(there, "update-index", "--no-assume-unchanged", "a.txt");
    const all = workspace.repositories;
    for (const each of all) {
      const own = ["status", "--porcelain=v2", "-z", "--branch", "--no-ahead-behind"];
      const expected = gitIn(join(there, each.root), ...own, "--untracked-files=all").stdout;
      const shown = await statusOf(each, { all, format: "porcelain", color: false });
      expect(parseStatus(shown)).toEqual(parseStatus(expected));
    }

    const unfetched = describeRepository(top, { withGitDir: true });
    const options = {
      prefix: "refs/banger/vm",
      scratch: workspace.scratch,
      max_bytes: MAX_BYTES,
    };
    await fetchInto(repository, capture, options);
    const mine = (...args: string[]): string => gitIn(top, ...args).stdout.trim();
    expect(mine("rev-parse", "--verify", "refs/banger/vm/HEAD")).toBe(
      gitIn(there, "rev-parse", "--verify", "HEAD").stdout.trim(),
    );
    const tree = gitIn(top, "ls-tree", "-r", "-z", "--name-only", "refs/banger/vm/worktree");
    expect(tree.stdout).toContain("made inside/new.txt");
    expect(describeRepository(top, { withGitDir: true })).toMatchObject({
      files: unchangedOf(unfetched["files"] as Record<string, string>),
    });

    await applyTo(guest, {
      ...{ path: "/w", capture, repository, isTrial: false },
      folder: workspace.scratch,
    });
    expect(contentsOf(top)).toEqual(contentsOf(there));
    expect(existsSync(`${repo.path}-trapped`)).toBe(false);
  });
});

/** A commit where that can be, and changes that are not committed. */
function changeInside(there: string): void {
  const tracked = gitIn(there, "ls-files", "-z").stdout.split("\0").filter(Boolean);
  const isUnmerged = gitIn(there, "ls-files", "-u").stdout !== "";
  mkdirSync(join(there, "made inside"));
  writeFileSync(join(there, "made inside/new.txt"), "new\n");
  if (!isUnmerged && gitIn(there, "rev-parse", "--verify", "HEAD").stdout !== "") {
    gitIn(there, "add", "--sparse", "made inside/new.txt");
    gitIn(there, "commit", "--quiet", "--no-verify", "-m", "Inside", "--", "made inside/new.txt");
  }
  writeFileSync(join(there, "made inside/new.txt"), "newer\n");
  writeFileSync(join(there, "made inside/untracked.bin"), Uint8Array.of(0, 1, 2, 255));
  const files = tracked.filter((name) => {
    const { mode = 0 } = new HostView(there).lstat(name) ?? {};
    return /^[\x20-\x7e]+$/.test(name) && (mode & 0o170000) === 0o100000;
  });
  const [first, second] = files.filter((name) => !name.includes(".git"));
  if (first) writeFileSync(join(there, first), "changed inside\n");
  if (second) rmSync(join(there, second));
}

/** Everything but what fetching may add to. */
function unchangedOf(files: Record<string, string>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(files).filter(([name]) => !name.startsWith(".git/objects/info")),
  );
}

/** Names, types and content, without times. */
function contentsOf(folder: string): Record<string, string> {
  const { files } = describeRepository(folder, {});
  return Object.fromEntries(
    Object.entries(files as Record<string, string>)
      .filter(([name]) => !/^lib\/|^vendor\//.test(name))
      .map(([name, text]) => [name, text.replace(/^(\d+) \d* /, "$1 ")]),
  );
}
