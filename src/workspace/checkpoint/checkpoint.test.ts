/** Checkpoints in a machine, for which a directory stands in. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TestRepository } from "#test/git-server.ts";
import { gitIn } from "#test/workspace-compare.ts";
import { folderGuest } from "#test/workspace-folder.ts";
import { importWorkspace } from "#workspace/in/import.ts";
import { openWorkspace } from "#workspace/open.ts";
import { diffOf } from "#workspace/out/report.ts";
import { readRecord } from "#workspace/record.ts";
import { createCheckpoint } from "./create.ts";
import { checkpointTree, logOf } from "./log.ts";
import { restoreCheckpoint } from "./restore.ts";

let place: string;
let count = 0;

beforeAll(() => {
  place = mkdtempSync(join(tmpdir(), "banger-checkpoint-"));
});
afterAll(() => rmSync(place, { recursive: true, force: true }));

async function setUp(files: Record<string, string> = { "a.txt": "a\n", "sub/b.txt": "b\n" }) {
  const folder = join(place, String(count++));
  const guest = folderGuest(join(folder, "guest"));
  const repo = new TestRepository(join(folder, "repo"));
  repo.commit(files);
  const record = join(folder, "record");
  await importWorkspace(guest, { vm: "vm", source: repo.path, path: "/w", folder: record });
  const there = guest.at("/w");
  const open = () =>
    openWorkspace(guest, {
      ...{ path: "/w", record: readRecord(record), folder: record, source: repo.path },
      max_bytes: 1 << 24,
    });
  const inside = (...args: string[]) =>
    gitIn(there, "-c", "user.name=in", "-c", "user.email=in@e", ...args).stdout;
  const save = async (message?: string, onlyChanged = false) => {
    using workspace = await open();
    return await createCheckpoint(guest, { path: "/w", workspace }, { message, onlyChanged });
  };
  const restore = async (number: number) => {
    using workspace = await open();
    return await restoreCheckpoint(guest, { path: "/w", workspace }, number);
  };
  return { guest, repo, there, open, inside, save, restore };
}

test("a checkpoint holds the working tree, and restoring it brings that back", async () => {
  const { there, inside, save, restore, open } = await setUp();
  writeFileSync(join(there, "a.txt"), "a2\n");
  writeFileSync(join(there, "new.sh"), "#!/bin/sh\n");
  chmodSync(join(there, "new.sh"), 0o755);
  symlinkSync("a.txt", join(there, "link"));
  writeFileSync(join(there, "ignored.log"), "x");
  writeFileSync(join(there, ".gitignore"), "*.log\n");
  const before = inside("status", "--porcelain=v2");
  const [first] = await save("one");
  expect(first).toMatchObject({ root: "", number: 1 });
  // Nothing that git shows has changed, and the machine's own git finds the objects whole.
  expect(inside("status", "--porcelain=v2")).toBe(before);
  inside("fsck", "--strict", "--no-dangling");
  expect(inside("show", "--no-patch", "--format=%s", first?.id ?? "").trim()).toBe("one");

  rmSync(join(there, "sub"), { recursive: true });
  mkdirSync(join(there, "new.sh.d"));
  rmSync(join(there, "new.sh"));
  mkdirSync(join(there, "new.sh"));
  writeFileSync(join(there, "new.sh/deep"), "x");
  rmSync(join(there, "link"));
  writeFileSync(join(there, "link"), "a file now");
  writeFileSync(join(there, "later.txt"), "later");
  writeFileSync(join(there, "a.txt"), "a3\n");
  expect(await save()).toMatchObject([{ number: 2 }]);
  expect(await save(undefined, true)).toEqual([]);
  {
    using workspace = await open();
    const [capture] = workspace.repositories;
    if (!capture) throw new Error("no repository");
    const entries = await logOf(capture);
    expect(entries.map(({ number, message }) => [number, message])).toEqual([
      [2, "Checkpoint 2"],
      [1, "one"],
    ]);
    const [from, to] = [await checkpointTree(capture, 1), await checkpointTree(capture, 2)];
    const options = { base: { tree: from }, to, staged: false, color: false };
    const names = await diffOf(capture, { ...options, args: ["--name-status", "--no-renames"] });
    expect(names.trim().split("\n").sort()).toEqual([
      "A\tlater.txt",
      "A\tnew.sh/deep",
      "D\tnew.sh",
      "D\tsub/b.txt",
      "M\ta.txt",
      "T\tlink",
    ]);
    await expect(checkpointTree(capture, 3)).rejects.toThrow("no checkpoint 3");
  }

  expect(await restore(1)).toEqual([{ root: "", written: 4, removed: 2 }]);
  expect(readFileSync(join(there, "a.txt"), "utf8")).toBe("a2\n");
  expect(readFileSync(join(there, "sub/b.txt"), "utf8")).toBe("b\n");
  expect(statSync(join(there, "new.sh")).mode & 0o777).toBe(0o755);
  expect(readlinkSync(join(there, "link"))).toBe("a.txt");
  expect(existsSync(join(there, "later.txt"))).toBe(false);
  expect(readFileSync(join(there, "ignored.log"), "utf8")).toBe("x");
  expect(inside("status", "--porcelain=v2").replaceAll(/ [0-9a-f]{40}/g, "")).toBe(
    before.replaceAll(/ [0-9a-f]{40}/g, ""),
  );
  await restore(2);
  expect(readFileSync(join(there, "new.sh/deep"), "utf8")).toBe("x");
});

test("line ends are those of the working tree, and commits between are kept", async () => {
  const { there, inside, save, restore } = await setUp({
    ".gitattributes": "*.txt text eol=crlf\n",
    "a.txt": "one\n",
  });
  await save();
  writeFileSync(join(there, "a.txt"), "two\r\n");
  inside("add", "-A");
  inside("commit", "-qm", "two");
  inside("gc", "-q", "--prune=now");
  await restore(1);
  expect(readFileSync(join(there, "a.txt"), "utf8")).toBe("one\r\n");
  expect(inside("log", "--format=%s", "-1").trim()).toBe("two");
});

test("a checkpoint on an unborn branch, and one in a repository inside of the workspace", async () => {
  const { there, guest, open, save, restore } = await setUp();
  const nested = join(there, "nested");
  mkdirSync(nested);
  gitIn(nested, "init", "-q");
  writeFileSync(join(nested, "c.txt"), "c\n");
  expect(await save()).toMatchObject([
    { root: "", number: 1 },
    { root: "nested", number: 1 },
  ]);
  rmSync(join(nested, "c.txt"));
  expect(await restore(1)).toMatchObject([
    { root: "", written: 0, removed: 0 },
    { root: "nested", written: 1, removed: 0 },
  ]);
  expect(readFileSync(guest.at("/w/nested/c.txt"), "utf8")).toBe("c\n");
  using workspace = await open();
  expect(workspace.repositories.length).toBe(2);
});

/** A commit of a tree that git itself would not make. */
function forge(there: string, entries: [mode: string, name: string, id: string][]): void {
  const tree = Buffer.concat(
    entries.flatMap(([mode, name, id]) => [
      Buffer.from(`${mode} ${name}\0`),
      Buffer.from(id, "hex"),
    ]),
  );
  const run = (args: string[], input: Buffer | string) =>
    execFileSync("git", ["-C", there, "-c", "user.name=x", "-c", "user.email=x@e", ...args], {
      input,
    })
      .toString()
      .trim();
  const id = run(["hash-object", "-w", "-t", "tree", "--stdin", "--literally"], tree);
  const commit = run(["commit-tree", id, "-m", "forged"], "");
  mkdirSync(join(there, ".git/refs/banger/checkpoints"), { recursive: true });
  writeFileSync(join(there, ".git/refs/banger/checkpoints/0009"), `${commit}\n`);
}

test("a forged checkpoint writes nothing outside of the workspace", async () => {
  for (const name of ["..", ".git", ".GIT", "a/../../x"]) {
    const { there, restore, inside } = await setUp();
    const blob = inside("rev-parse", "HEAD:a.txt").trim();
    forge(there, [["100644", name, blob]]);
    await expect(restore(9), name).rejects.toMatchObject({ code: "integrity" });
  }
  const { there, restore, inside } = await setUp();
  const blob = inside("rev-parse", "HEAD:a.txt").trim();
  const sub = inside("rev-parse", "HEAD:sub").trim();
  const victim = join(place, "victim");
  mkdirSync(victim);
  writeFileSync(join(there, "target"), victim);
  const link = inside("hash-object", "-w", "target").trim();
  forge(there, [
    ["120000", "dir", link],
    ["40000", "dir", sub],
    ["100644", "z", blob],
  ]);
  await expect(restore(9)).rejects.toMatchObject({ code: "integrity" });
  expect(existsSync(join(victim, "b.txt"))).toBe(false);
});
