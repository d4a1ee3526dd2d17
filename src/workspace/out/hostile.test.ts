/** A machine that wants more than to give its files back. A directory stands in for its disk. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { deflateSync } from "node:zlib";
import { TestRepository } from "#test/git-server.ts";
import { describeRepository, gitIn } from "#test/workspace-compare.ts";
import { type FolderGuest, folderGuest } from "#test/workspace-folder.ts";
import { openRepository } from "#workspace/git/source.ts";
import { importWorkspace } from "#workspace/in/import.ts";
import { openWorkspace } from "#workspace/open.ts";
import { readRecord } from "#workspace/record.ts";
import { applyTo } from "./apply.ts";
import { exportTar } from "./export.ts";
import { fetchInto } from "./fetch.ts";
import { diffOf, statusOf } from "./report.ts";

const MAX_BYTES = 4 * 1024 * 1024;
let place: string;
let count = 0;

beforeAll(() => {
  place = mkdtempSync(join(tmpdir(), "banger-hostile-"));
});
afterAll(() => rmSync(place, { recursive: true, force: true }));

async function setUp() {
  const folder = join(place, String(count++));
  const guest = folderGuest(join(folder, "guest"));
  const repo = new TestRepository(join(folder, "repo"));
  repo.commit({ "a.txt": "a\n", "sub/b.txt": "b\n" });
  const record = join(folder, "record");
  await importWorkspace(guest, { vm: "vm", source: repo.path, path: "/w", folder: record });
  const there = guest.at("/w");
  const trap = join(folder, "trapped");
  const open = (port: FolderGuest = guest) =>
    openWorkspace(port, {
      ...{ path: "/w", record: readRecord(record), folder: record, source: repo.path },
      max_bytes: MAX_BYTES,
    });
  const inside = (...args: string[]) =>
    gitIn(there, "-c", "user.name=in", "-c", "user.email=in@e", ...args);
  async function fetch(port?: FolderGuest) {
    using workspace = await open(port);
    const [capture] = workspace.repositories;
    if (!capture) throw new Error("no repository");
    const options = {
      prefix: "refs/banger/vm",
      scratch: join(workspace.scratch, "f"),
      max_bytes: MAX_BYTES,
    };
    return await fetchInto(await openRepository(repo.path), capture, options);
  }
  async function apply(port?: FolderGuest) {
    using workspace = await open(port);
    const [capture] = workspace.repositories;
    if (!capture) throw new Error("no repository");
    const repository = await openRepository(repo.path);
    return await applyTo(guest, {
      ...{ path: "/w", capture, repository, folder: workspace.scratch, isTrial: false },
    });
  }
  return { folder, guest, repo, there, trap, open, inside, fetch, apply };
}

/** Writes a tree object that git itself would not, and a commit of it. */
function commitTree(there: string, entries: readonly (readonly [string, string, string])[]): void {
  const body = Buffer.concat(
    entries.map(([mode, name, id]) =>
      Buffer.concat([Buffer.from(`${mode} ${name}\0`), Buffer.from(id, "hex")]),
    ),
  );
  const write = Bun.spawnSync(
    ["git", "hash-object", "-w", "-t", "tree", "--literally", "--stdin"],
    {
      cwd: there,
      stdin: body,
    },
  );
  const tree = write.stdout.toString().trim();
  const author = ["-c", "user.name=in", "-c", "user.email=in@e"];
  const commit = gitIn(
    there,
    ...author,
    "commit-tree",
    tree,
    "-p",
    "HEAD",
    "-m",
    "x",
  ).stdout.trim();
  gitIn(there, "update-ref", "refs/heads/main", commit);
}

function blobOf(there: string, text: string): string {
  const child = Bun.spawnSync(["git", "hash-object", "-w", "--stdin"], {
    cwd: there,
    stdin: Buffer.from(text),
  });
  return child.stdout.toString().trim();
}

test("configuration, hooks, filters and attributes of the machine run nothing", async () => {
  const { there, trap, open, fetch, apply } = await setUp();
  const run = `touch ${trap}`;
  appendFileSync(
    join(there, ".git/config"),
    `[core]\n\tfsmonitor = ${run}\n\thooksPath = ${there}/hooks\n\tpager = ${run}\n\tsshCommand = ${run}\n` +
      `[diff]\n\texternal = ${run}\n[filter "t"]\n\tclean = ${run}\n\tsmudge = ${run}\n\tprocess = ${run}\n` +
      `[diff "t"]\n\ttextconv = ${run}\n\tcommand = ${run}\n[include]\n\tpath = /etc/passwd\n`,
  );
  mkdirSync(join(there, "hooks"));
  for (const hook of ["reference-transaction", "post-checkout", "post-index-change"]) {
    writeFileSync(join(there, "hooks", hook), `#!/bin/sh\n${run}\n`, { mode: 0o755 });
  }
  writeFileSync(join(there, ".gitattributes"), "* filter=t diff=t\n");
  writeFileSync(join(there, "a.txt"), "changed\n");
  using workspace = await open();
  const [capture] = workspace.repositories;
  if (!capture) throw new Error("no repository");
  await statusOf(capture, { all: workspace.repositories, format: "long", color: false });
  await diffOf(capture, { base: "import", staged: false, color: false, args: [] });
  await fetch();
  await apply();
  expect(existsSync(trap)).toBe(false);
});

test("refs with names that git refuses are not taken", async () => {
  const { there, fetch, repo } = await setUp();
  const id = gitIn(there, "rev-parse", "HEAD").stdout.trim();
  appendFileSync(
    join(there, ".git/packed-refs"),
    `${id} refs/heads/../../../evil\n${id} refs/heads/a..b\n${id} refs/heads/x.lock\n${id} refs/heads/-ok\n${id} HEAD\n`,
  );
  const { refused } = await fetch();
  expect(refused.toSorted()).toEqual([
    "HEAD",
    "refs/heads/../../../evil",
    "refs/heads/a..b",
    "refs/heads/x.lock",
  ]);
  const names = repo.git("for-each-ref", "--format=%(refname)", "refs/banger").split("\n");
  expect(names.every((name) => name.startsWith("refs/banger/vm/"))).toBe(true);
});

test.each([
  ["a .git entry", ".git"],
  ["a .GIT entry", ".GIT"],
  ["a short name of .git", "git~1"],
  ["a parent directory", ".."],
  ["a slash", "a/b"],
])("a tree with %s is refused", async (_, name) => {
  const { there, fetch, repo } = await setUp();
  commitTree(there, [["100644", name, blobOf(there, "evil\n")]]);
  const before = describeRepository(repo.path, { withGitDir: true });
  await expect(fetch()).rejects.toThrow("Cannot fetch from the machine");
  await fetch().catch(() => {});
  expect(describeRepository(repo.path, { withGitDir: true })).toEqual(before);
});

test("a .gitmodules with a command in it is refused, and no submodule is followed", async () => {
  const { there, fetch, trap } = await setUp();
  const modules = `[submodule "x"]\n\tpath = x\n\turl = -u./payload\n`;
  commitTree(there, [["100644", ".gitmodules", blobOf(there, modules)]]);
  await expect(fetch()).rejects.toThrow("gitmodulesUrl");
  const other = await setUp();
  const ext = `[submodule "x"]\n\tpath = x\n\turl = ext::sh -c touch% ${trap}\n`;
  writeFileSync(join(other.there, ".gitmodules"), ext);
  await other.fetch();
  expect(existsSync(trap)).toBe(false);
});

test("objects over the limit, of wrong content, and missing ones are refused", async () => {
  const big = await setUp();
  writeFileSync(join(big.there, "big"), crypto.getRandomValues(new Uint8Array(65_536)));
  for (let at = 0; at < 80; at++)
    appendFileSync(join(big.there, "big"), crypto.getRandomValues(new Uint8Array(65_536)));
  big.inside("add", "big");
  big.inside("commit", "--quiet", "-m", "big");
  await expect(big.fetch()).rejects.toThrow("at most 4.0 MiB are fetched");

  const wrong = await setUp();
  wrong.inside("commit", "--quiet", "--allow-empty", "-m", "one");
  const id = gitIn(wrong.there, "rev-parse", "HEAD").stdout.trim();
  const path = join(wrong.there, ".git/objects", id.slice(0, 2), id.slice(2));
  rmSync(path);
  writeFileSync(path, deflateSync(Buffer.from("commit 4\0evil")));
  await expect(wrong.fetch()).rejects.toThrow(/wrong content|Cannot fetch object/);

  const missing = await setUp();
  writeFileSync(join(missing.there, ".git/refs/heads/main"), `${"1".repeat(40)}\n`);
  await expect(missing.fetch()).rejects.toThrow(/1111111/);
});

test("a symlink in a path's place is never written through", async () => {
  const { there, apply, repo, folder } = await setUp();
  const outside = join(folder, "outside");
  mkdirSync(outside);
  rmSync(join(there, "sub"), { recursive: true });
  symlinkSync(outside, join(there, "sub"));
  await apply();
  expect(existsSync(join(outside, "b.txt"))).toBe(false);
  // Now it is a symlink on the host as well: what the machine puts below it does not go through.
  rmSync(join(there, "sub"));
  mkdirSync(join(there, "sub"));
  writeFileSync(join(there, "sub/evil"), "evil\n");
  await apply().catch(() => {});
  expect(existsSync(join(outside, "evil"))).toBe(false);
  expect(existsSync(join(repo.path, ".git/HEAD"))).toBe(true);
});

test("records that contradict each other are refused", async () => {
  const { guest, open, there, folder } = await setUp();
  const outside = join(folder, "outside");
  mkdirSync(outside);
  for (const records of [
    ["120777 1 1.000000000 /x", outside, "100644 5 1.000000000 /x/evil"],
    ["100644 5 1.000000000 /../evil"],
    ["100644 5 1.000000000 /a.txt", "100644 5 1.000000000 /a.txt"],
    ["100644 5 1.000000000 /nowhere/evil"],
    ["garbage"],
  ]) {
    const liar: FolderGuest = {
      ...guest,
      async tree(path) {
        const real = await guest.tree(path);
        return (async function* () {
          yield* real ?? [];
          yield Buffer.from(records.map((record) => `${record}\u0000`).join(""), "latin1");
        })();
      },
    };
    await expect(open(liar)).rejects.toThrow(/records? from the guest/);
  }
  expect(existsSync(join(outside, "evil"))).toBe(false);
  expect(existsSync(there)).toBe(true);
});

test("archives have what was asked for, and nothing else of them is written", async () => {
  const { guest, there, open, folder, fetch } = await setUp();
  writeFileSync(join(there, "new.txt"), "new\n");
  const evil = join(folder, "evil");
  mkdirSync(join(evil, ".git/hooks"), { recursive: true });
  writeFileSync(join(evil, ".git/hooks/post-checkout"), "evil\n");
  const liar: FolderGuest = {
    ...guest,
    async *archive(path, names) {
      const child = Bun.spawnSync(
        ["tar", "-cPf", "-", "--transform", "s,^,../../,", ".git/hooks/post-checkout"],
        { cwd: evil },
      );
      yield child.stdout.subarray(0, -1024);
      yield* guest.archive(path, names);
    },
  };
  await open(liar)
    .then((workspace) => workspace[Symbol.dispose]())
    .catch(() => {});
  await fetch(liar).catch(() => {});
  expect(existsSync(join(place, ".git"))).toBe(false);
  using workspace = await open();
  const file = join(folder, "out.tar");
  await exportTar(guest, { path: "/w", workspace, file });
  const names = Bun.spawnSync(["tar", "-tf", file]).stdout.toString().split("\n").filter(Boolean);
  expect(names).toEqual(["a.txt", "new.txt", "sub/b.txt"]);
});

test("an index with a .git entry is refused", async () => {
  const { there, open } = await setUp();
  const path = join(there, ".git/index");
  const bytes = readFileSync(path);
  const at = bytes.indexOf("a.txt");
  bytes.write("../ab", at, "latin1");
  writeFileSync(path, bytes);
  await expect(open()).rejects.toThrow("Cannot read the git index");
});

test("a .git that is a symlink is no repository", async () => {
  const { there, open, folder } = await setUp();
  rmSync(join(there, ".git"), { recursive: true });
  symlinkSync(join(folder, "repo/.git"), join(there, ".git"));
  using workspace = await open();
  expect(workspace.repositories).toEqual([]);
});

test("apply merges what can be merged, and writes nothing where a change would be lost", async () => {
  const { there, repo, apply } = await setUp();
  const lines = Array.from({ length: 20 }, (_, at) => `line ${at}\n`).join("");
  writeFileSync(join(repo.path, "a.txt"), "mine\n");
  writeFileSync(join(there, "a.txt"), "theirs\n");
  writeFileSync(join(there, "other.txt"), lines);
  const before = describeRepository(repo.path, { withGitDir: true });
  await expect(apply()).rejects.toThrow(
    "changed here and in the machine, and cannot be merged: a.txt",
  );
  await apply().catch(() => {});
  expect(describeRepository(repo.path, { withGitDir: true })).toEqual(before);
  writeFileSync(join(repo.path, "a.txt"), "theirs\n");
  expect(await apply()).toMatchObject({ changed: ["other.txt"], merged: [] });
  expect(await apply()).toMatchObject({ changed: [], removed: [] });
});

test("changes of both sides in one file are merged", async () => {
  const { guest, repo, there, apply, folder } = await setUp();
  const lines = Array.from({ length: 20 }, (_, at) => `line ${at}\n`).join("");
  repo.commit({ "long.txt": lines });
  const record = join(folder, "record");
  await importWorkspace(guest, { vm: "vm", source: repo.path, path: "/w", folder: record });
  writeFileSync(join(repo.path, "long.txt"), lines.replace("line 2\n", "mine\n"));
  writeFileSync(join(there, "long.txt"), lines.replace("line 17\n", "theirs\n"));
  expect(await apply()).toMatchObject({ changed: ["long.txt"], merged: ["long.txt"] });
  const merged = readFileSync(join(repo.path, "long.txt"), "utf8");
  expect(merged).toBe(lines.replace("line 2\n", "mine\n").replace("line 17\n", "theirs\n"));
});
