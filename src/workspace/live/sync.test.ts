/** A directory and a workspace that follow each other. A directory stands in for the machine's disk. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { TestRepository } from "#test/git-server.ts";
import { until } from "#test/until.ts";
import { liveFolder } from "#test/workspace-live.ts";
import { importWorkspace } from "#workspace/in/import.ts";
import type { Direction } from "./compare.ts";
import type { Carried } from "./round.ts";
import { syncWorkspace } from "./sync.ts";

let place: string;
let count = 0;

beforeAll(() => {
  place = mkdtempSync(join(tmpdir(), "banger-live-"));
});
afterAll(() => rmSync(place, { recursive: true, force: true }));

function setUp() {
  const folder = join(place, String(count++));
  const guest = liveFolder(join(folder, "guest"));
  const repo = new TestRepository(join(folder, "repo"));
  const record = join(folder, "record");
  const carried: Carried[] = [];
  const notes: string[] = [];
  const request = (direction: Direction, once: boolean) => ({
    ...{ path: "/w", source: repo.path, folder: record, direction, once },
  });
  const work = (signal: AbortSignal, onSettled?: () => void) => ({
    ...{ signal, onSettled },
    onCarried: (one: Carried) => void carried.push(one),
    onNote: (text: string) => void notes.push(text),
  });
  const writer =
    (top: string) =>
    (name: string, text: string): void => {
      mkdirSync(dirname(join(top, name)), { recursive: true });
      writeFileSync(join(top, name), text);
    };
  return {
    ...{ folder, guest, repo, carried, notes, there: guest.at("/w"), here: repo.path },
    write: writer(repo.path),
    writeThere: writer(guest.at("/w")),
    bring: () =>
      importWorkspace(guest, { vm: "vm", source: repo.path, path: "/w", folder: record }),
    async once(direction: Direction = "both") {
      carried.length = 0;
      await syncWorkspace(guest, request(direction, true), work(new AbortController().signal));
      return carried.map(({ kind, name }) => `${kind} ${name}`).toSorted();
    },
    /** Mirrors while `body` runs. */
    async live(body: (ends: Promise<void>) => Promise<void>, direction: Direction = "both") {
      const ends = new AbortController();
      const settled = Promise.withResolvers<void>();
      const work_ = work(ends.signal, settled.resolve);
      const running = syncWorkspace(guest, request(direction, false), work_);
      try {
        await Promise.race([settled.promise, running]);
        await body(running);
      } finally {
        ends.abort();
        await running.catch(() => {});
      }
    },
  };
}

const text = (...path: string[]): string | undefined => {
  const file = join(...path);
  return existsSync(file) ? readFileSync(file, "utf8") : undefined;
};

test("after an import nothing has to be mirrored; then what changes on either side is", async () => {
  const { repo, bring, once, write, writeThere, here, there } = setUp();
  repo.commit({ "a.txt": "a\n", "b.txt": "b\n", "sub/c.txt": "c\n", "sub/d.txt": "d\n" });
  await bring();
  expect(await once()).toEqual([]);
  write("a.txt", "changed here\n");
  write("new/deep.txt", "new\n");
  chmodSync(join(here, "new/deep.txt"), 0o755);
  writeThere("b.txt", "changed there\n");
  rmSync(join(here, "sub/c.txt"));
  rmSync(join(there, "sub/d.txt"));
  symlinkSync("a.txt", join(there, "link"));
  expect(await once()).toEqual([
    "fetched b.txt",
    "fetched link",
    "removed-host sub/d.txt",
    "removed-vm sub/c.txt",
    "sent a.txt",
    "sent new/deep.txt",
  ]);
  expect(text(there, "a.txt")).toBe("changed here\n");
  expect(lstatSync(join(there, "new/deep.txt")).mode & 0o777).toBe(0o755);
  expect(text(here, "b.txt")).toBe("changed there\n");
  expect(readlinkSync(join(here, "link"))).toBe("a.txt");
  expect([here, there].map((top) => existsSync(join(top, "sub")))).toEqual([false, false]);
  expect(await once()).toEqual([]);
  // What was mirrored is no change of the machine's to the next import.
  expect(await bring()).toMatchObject({ removedFiles: 0 });
  expect(await once()).toEqual([]);
});

test("what changed on both sides is kept beside, on both sides", async () => {
  const { repo, bring, once, write, writeThere, here, there } = setUp();
  repo.commit({ "a.txt": "a\n", "b.txt": "b\n", same: "s\n" });
  await bring();
  write("a.txt", "here\n");
  writeThere("a.txt", "there\n");
  write("same", "the same\n");
  writeThere("same", "the same\n");
  utimesSync(join(there, "same"), 1_700_000_000, 1_700_000_000);
  rmSync(join(here, "b.txt"));
  writeThere("b.txt", "there\n");
  expect(await once()).toEqual(["conflict a.txt", "fetched b.txt", "sent a.txt"]);
  for (const top of [here, there]) {
    expect(text(top, "a.txt")).toBe("here\n");
    expect(text(top, "a.txt.conflict-vm")).toBe("there\n");
    expect(text(top, "b.txt")).toBe("there\n");
  }
  expect(await once()).toEqual([]);
});

test("one way, the other side keeps what only it has changed, and what would be lost", async () => {
  const { repo, bring, once, write, writeThere, here, there } = setUp();
  repo.commit({ "a.txt": "a\n", "b.txt": "b\n", "c.txt": "c\n" });
  await bring();
  write("a.txt", "here\n");
  writeThere("a.txt", "there\n");
  writeThere("b.txt", "there\n");
  writeThere("new.txt", "there\n");
  rmSync(join(here, "c.txt"));
  expect(await once("to-vm")).toEqual(["conflict a.txt", "removed-vm c.txt", "sent a.txt"]);
  expect(text(here, "a.txt.conflict-vm")).toBeUndefined();
  expect(text(here, "b.txt")).toBe("b\n");
  expect(["a.txt", "a.txt.conflict-vm", "b.txt"].map((name) => text(there, name))).toEqual([
    "here\n",
    "there\n",
    "there\n",
  ]);
  writeThere("a.txt", "again there\n");
  write("a.txt", "again here\n");
  write("b.txt", "there\n");
  utimesSync(join(here, "b.txt"), 1_700_000_000, 1_700_000_000);
  expect(await once("from-vm")).toEqual([
    "conflict a.txt",
    "fetched a.txt",
    "fetched a.txt.conflict-vm",
    "fetched new.txt",
  ]);
  expect(text(here, "a.txt")).toBe("again there\n");
  expect(text(here, "a.txt.conflict-host")).toBe("again here\n");
});

test("files that git ignores, secrets and repositories are left out on both sides", async () => {
  const { repo, bring, once, write, writeThere, here, there } = setUp();
  repo.commit({ ".gitignore": "*.log\nbuild/\n", "kept.log.txt": "k\n", "test/a.key": "k\n" });
  await bring();
  write("build/out", "out\n");
  write(".env", "TOKEN=1\n");
  writeThere("x.log", "log\n");
  writeThere("build/there", "there\n");
  writeThere("conf/id_ed25519", "key\n");
  writeThere(".git/hooks/post-checkout", "#!/bin/sh\n");
  writeThere("cloned/.git/HEAD", "ref: refs/heads/main\n");
  writeThere("cloned/.git/config", "[core]\n\tfsmonitor = touch /tmp/x\n");
  writeThere("cloned/file", "of another repository\n");
  writeThere("test/a.key", "changed\n");
  expect(await once()).toEqual(["fetched test/a.key", "secret .env"]);
  expect(existsSync(join(here, "cloned"))).toBe(false);
  expect(existsSync(join(here, ".git/hooks/post-checkout"))).toBe(false);
  expect(existsSync(join(there, ".env"))).toBe(false);
  // What becomes ignored is no longer mirrored, and not removed.
  write(".gitignore", "*.log\nbuild/\nconf\ndraft\n");
  write("draft", "mine\n");
  expect(await once()).toEqual(["secret .env", "sent .gitignore"]);
  expect(existsSync(join(there, "draft"))).toBe(false);
});

test("submodules are mirrored with their own rules", async () => {
  const { folder, repo, bring, once, write, writeThere, here, there } = setUp();
  const inner = new TestRepository(join(folder, "inner"));
  inner.commit({ ".gitignore": "*.o\n", "inner.txt": "i\n" });
  repo.commit({ "a.txt": "a\n" });
  repo.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", inner.path, "lib");
  repo.commit({ "b.txt": "b\n" });
  await bring();
  write("lib/new.txt", "n\n");
  writeThere("lib/inner.txt", "there\n");
  writeThere("lib/x.o", "object\n");
  writeThere("y.o", "none of the submodule's\n");
  expect(await once()).toEqual(["fetched lib/inner.txt", "fetched y.o", "sent lib/new.txt"]);
  expect(text(here, "lib/inner.txt")).toBe("there\n");
  expect(text(there, "lib/new.txt")).toBe("n\n");
});

describe("a hostile machine", () => {
  test("does not write through symlinks of the host", async () => {
    const { folder, repo, bring, once, write, writeThere, here } = setUp();
    const outside = join(folder, "outside");
    mkdirSync(outside);
    repo.commit({ "a.txt": "a\n" });
    write(".gitignore", "ignored\n");
    await bring();
    symlinkSync(outside, join(here, "ignored"));
    symlinkSync(outside, join(here, "link"));
    writeThere("ignored/x", "x\n");
    writeThere("link/y", "y\n");
    await once();
    expect(existsSync(join(outside, "x"))).toBe(false);
    expect(existsSync(join(outside, "y"))).toBe(false);
    expect(readlinkSync(join(here, "link"))).toBe(outside);
    expect(text(here, "link.conflict-vm/y")).toBe("y\n");
  });

  test("cannot name files outside, reports what it likes, and is not believed", async () => {
    const { folder, guest, repo, bring, live, here, writeThere } = setUp();
    repo.commit({ "a.txt": "a\n" });
    await bring();
    writeFileSync(join(folder, "secret"), "s\n");
    await live(async () => {
      for (const name of ["../secret", "../../x", "/etc/passwd", ".git/config", "a.txt/", "\n"])
        guest.report({ kind: "changed", name, isFolder: false });
      for (let at = 0; at < 5000; at++)
        guest.report({ kind: "created", name: `made up/${at}`, isFolder: at % 2 === 0 });
      writeThere("true.txt", "t\n");
      await until(() => text(here, "true.txt") === "t\n");
    });
    expect(text(here, "a.txt")).toBe("a\n");
    expect(existsSync(join(here, "made up"))).toBe(false);
    expect(text(folder, "secret")).toBe("s\n");
  });

  test("keeps a file that is too large to itself", async () => {
    const { repo, bring, once, writeThere, there, here } = setUp();
    repo.commit({ "a.txt": "a\n" });
    await bring();
    writeThere("huge", "");
    truncateSync(join(there, "huge"), 1024 ** 3 + 1);
    expect(await once()).toEqual(["too-large huge"]);
    expect(existsSync(join(here, "huge"))).toBe(false);
  });

  test("that has lost all its files takes none of the host's", async () => {
    const { repo, bring, once, here, there } = setUp();
    repo.commit({ "a.txt": "a\n" });
    await bring();
    rmSync(there, { recursive: true });
    await expect(once()).rejects.toThrow('no files are left in "/w" in the machine');
    expect(text(here, "a.txt")).toBe("a\n");
  });
});

test("changes on both sides follow as they are made", async () => {
  const { repo, bring, live, write, writeThere, here, there } = setUp();
  repo.commit({ "a.txt": "a\n", "old/x.txt": "x\n" });
  await bring();
  await live(async () => {
    write("a.txt", "here\n");
    await until(() => text(there, "a.txt") === "here\n");
    writeThere("a.txt", "there\n");
    await until(() => text(here, "a.txt") === "there\n");
    renameSync(join(here, "old"), join(here, "renamed"));
    await until(() => text(there, "renamed/x.txt") === "x\n" && !existsSync(join(there, "old")));
    write("brand/new/one.txt", "1\n");
    await until(() => text(there, "brand/new/one.txt") === "1\n");
    // In a directory that was made meanwhile.
    write("brand/new/two.txt", "2\n");
    await until(() => text(there, "brand/new/two.txt") === "2\n");
    for (let at = 0; at < 1000; at++) writeThere(`burst/${at}`, `${at}\n`);
    await until(() => text(here, "burst/999") === "999\n" && existsSync(join(here, "burst/0")));
    rmSync(join(here, "burst"), { recursive: true });
    await until(() => !existsSync(join(there, "burst")));
  });
}, 120_000);

test("a lost connection is made again, and a machine that stops is the end", async () => {
  const { guest, repo, bring, live, writeThere, here } = setUp();
  repo.commit({ "a.txt": "a\n" });
  await bring();
  await live(async (running) => {
    guest.disconnect();
    writeThere("meanwhile.txt", "m\n");
    await until(() => text(here, "meanwhile.txt") === "m\n");
    guest.state = "stopped";
    guest.disconnect();
    await expect(running).rejects.toThrow("the machine is stopped: mirroring ended");
  });
});
