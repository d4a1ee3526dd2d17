/** Files through the real agent, which is built with the sanitizers and runs on this computer. */
import { beforeEach, expect, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { Readable, type Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { runOk } from "#base/run.ts";
import { KiB, MiB } from "#base/size.ts";
import { makeTar } from "#test/busybox.ts";
import { agentFixture, codeOf, textOf } from "#test/guest-fixture.ts";

const fixture = agentFixture();
let place: string;

beforeEach(() => {
  place = mkdtempSync(join(fixture.folder, "files-"));
});

test("stat tells of files, folders and symlinks, and does not follow", async () => {
  writeFileSync(join(place, "file"), "12345", { mode: 0o640 });
  symlinkSync("nowhere", join(place, "link"));
  await runOk(["touch", "-d", "@-1.5", join(place, "file")]);
  const { files } = fixture.agent;
  expect(await files.stat(join(place, "file"))).toMatchObject({
    kind: "file",
    mode: 0o640,
    size_bytes: 5,
    links: 1,
    uid: process.getuid?.() ?? 0,
    mtime_unix_ns: -1_500_000_000n,
  });
  expect(await files.stat(join(place, "link"))).toMatchObject({
    kind: "symlink",
    target: "nowhere",
  });
  expect((await files.stat(place)).kind).toBe("directory");
  expect(await codeOf(files.stat(join(place, "no")))).toBe("not_found");
});

test("list gives every entry once, thousands of them too", async () => {
  const names = Array.from({ length: 3000 }, (_, index) => `entry-${index}`);
  for (const name of names) writeFileSync(join(place, name), "");
  const entries = await fixture.agent.files.list(place);
  expect(entries.map(({ name }) => name).toSorted()).toEqual(names.toSorted());
  expect(await codeOf(fixture.agent.files.list(join(place, "entry-1")))).toBe("not_found");
});

test("files are read, in parts too, and written whole", async () => {
  const path = join(place, "file");
  const { files } = fixture.agent;
  const data = crypto.getRandomValues(new Uint8Array(MiB)).map((byte) => byte % 256);
  await files.writeFile(path, data, { mode: 0o600 });
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(Buffer.compare(await files.readFile(path), data)).toBe(0);
  await files.writeFile(path, new TextEncoder().encode("0123456789"));
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(textOf(await files.readFile(path, { offset: 3, length_bytes: 4 }))).toBe("3456");
  expect(await codeOf(files.readFile(path, { max_bytes: 9 }))).toBe("limit_exceeded");
  expect(await codeOf(files.readFile(place))).toBe("invalid_argument");
  expect(textOf(Buffer.concat(await Array.fromAsync(await files.readStream(path))))).toBe(
    "0123456789",
  );
  symlinkSync(path, join(place, "link"));
  await files.writeFile(join(place, "link"), new TextEncoder().encode("through"));
  expect(readFileSync(path, "utf8")).toBe("through");
  expect(lstatSync(join(place, "link")).isSymbolicLink()).toBe(true);
});

test("folders are made and removed, and symlinks in them lead nowhere", async () => {
  const { files } = fixture.agent;
  writeFileSync(join(place, "kept"), "");
  await files.mkdir(join(place, "a/b/c"), { parents: true, mode: 0o700 });
  expect(statSync(join(place, "a/b/c")).mode & 0o777).toBe(0o700);
  expect(await codeOf(files.mkdir(join(place, "a")))).toBe("invalid_argument");
  symlinkSync(place, join(place, "a/b/up"));
  expect(await codeOf(files.remove(join(place, "a")))).toBe("invalid_argument");
  await files.remove(join(place, "a"), { recursive: true });
  expect(await codeOf(files.stat(join(place, "a")))).toBe("not_found");
  await files.remove(join(place, "kept"));
  expect(await codeOf(files.remove(join(place, "kept")))).toBe("not_found");
});

/** A tree with everything that tar can carry and this user can make. */
function makeTree(root: string): void {
  const long = "n".repeat(200);
  mkdirSync(join(root, long, long), { recursive: true });
  mkdirSync(join(root, "sub"), { mode: 0o750 });
  writeFileSync(join(root, long, long, "deep"), "deep");
  writeFileSync(join(root, "script"), "#!/bin/sh\n");
  chmodSync(join(root, "script"), 0o4755);
  linkSync(join(root, "script"), join(root, "sub/hard"));
  symlinkSync("../script", join(root, "sub/soft"));
  symlinkSync(long.repeat(2), join(root, "sub/far"));
  writeFileSync(join(root, "holes"), "begin");
  truncateSync(join(root, "holes"), 64 * MiB);
  writeFileSync(join(root, "big"), crypto.getRandomValues(new Uint8Array(60 * KiB + 1)));
  writeFileSync(join(root, "empty"), "");
  utimesSync(join(root, "script"), 1, 1_700_000_000.123_456);
  lutimesSync(join(root, "sub/soft"), 1, 1_600_000_000);
  utimesSync(join(root, "sub"), 1, 5);
}

/** What rsync finds different: owner, mode, times, links and data. */
async function differences(from: string, to: string): Promise<string> {
  return await runOk(["rsync", "-aHXcni", "--delete", `${from}/`, `${to}/`]);
}

test("a tree goes out, GNU tar reads it, comes in, and is the same", async () => {
  const tree = join(place, "tree");
  mkdirSync(tree);
  makeTree(tree);
  const { files } = fixture.agent;
  const archive = Buffer.concat(await Array.fromAsync(await files.readTar(tree)));
  expect(archive.length).toBeLessThan(MiB);
  writeFileSync(join(place, "out.tar"), archive);
  const unpacked = join(place, "gnu");
  mkdirSync(unpacked);
  await runOk(["tar", "-xpf", join(place, "out.tar"), "-C", unpacked]);
  expect(await differences(tree, join(unpacked, "tree"))).toBe("");

  const target = join(place, "in");
  const sink = await files.writeTar(target);
  await pipeline(Readable.from([archive]), sink.writable);
  expect((await sink.finished).entries).toBeGreaterThan(10);
  expect(await differences(tree, join(target, "tree"))).toBe("");
  const holes = statSync(join(target, "tree/holes"));
  expect([holes.size, holes.blocks < 64]).toEqual([64 * MiB, true]);
});

for (const format of ["ustar", "gnu", "posix"]) {
  test(`takes in what tar --format=${format} writes`, async () => {
    const tree = join(place, "tree");
    mkdirSync(join(tree, "sub"), { recursive: true });
    writeFileSync(join(tree, "sub/file"), "data");
    if (format !== "ustar") writeFileSync(join(tree, `sub/${"n".repeat(150)}`), "long");
    linkSync(join(tree, "sub/file"), join(tree, "sub/hard"));
    symlinkSync("file", join(tree, "sub/soft"));
    utimesSync(join(tree, "sub/file"), 1, 1_600_000_000);
    utimesSync(join(tree, "sub"), 1, 1_500_000_000);
    const archive = join(place, "a.tar");
    await runOk(["tar", `--format=${format}`, "-C", tree, "-cf", archive, "sub"]);
    const sink = await fixture.agent.files.writeTar(join(place, "in"));
    await pipeline(Readable.from([readFileSync(archive)]), sink.writable);
    await sink.finished;
    expect(await runOk(["rsync", "-rlpHcni", "--delete", `${tree}/sub`, join(place, "in")])).toBe(
      "",
    );
    expect(statSync(join(place, "in/sub")).mtimeMs).toBe(1_500_000_000_000);
  });
}

test("an archive writes nothing outside of its folder", async () => {
  const tree = join(place, "tree");
  const target = join(place, "target");
  mkdirSync(tree);
  writeFileSync(join(tree, "file"), "evil");
  const attacks: [string, string][] = [
    ["s,^file,../escaped,", "invalid_argument"],
    ["s,^file,a/../../escaped,", "invalid_argument"],
    [`s,^file,${join(place, "escaped")},`, "no error"],
    ["s,^file,out/escaped,", "not_found"],
  ];
  for (const [transform, code] of attacks) {
    await runOk(["rm", "-rf", target]);
    mkdirSync(target);
    symlinkSync(place, join(target, "out"));
    await runOk([
      "tar",
      "-P",
      "--transform",
      transform,
      "-C",
      tree,
      "-cf",
      join(place, "e.tar"),
      "file",
    ]);
    const sink = await fixture.agent.files.writeTar(target);
    await pipeline(Readable.from([readFileSync(join(place, "e.tar"))]), sink.writable).catch(
      () => {},
    );
    expect([transform, await codeOf(sink.finished)]).toEqual([transform, code]);
    expect(await codeOf(fixture.agent.files.stat(join(place, "escaped")))).toBe("not_found");
  }
  expect(readlinkSync(join(target, "out"))).toBe(place);
});

test("an archive that ends early or is noise is an error, and the agent lives", async () => {
  const tree = join(place, "tree");
  mkdirSync(tree);
  makeTree(tree);
  const whole = Buffer.concat(await Array.fromAsync(await fixture.agent.files.readTar(tree)));
  const write = async (bytes: Uint8Array): Promise<string> => {
    const sink = await fixture.agent.files.writeTar(join(place, "in"));
    await pipeline(Readable.from([bytes]), sink.writable).catch(() => {});
    return await codeOf(sink.finished);
  };
  for (const length of [100, 700, 1300, 5000]) {
    expect([length, await write(whole.subarray(0, length))]).toEqual([length, "invalid_argument"]);
  }
  for (let round = 0; round < 60; round++) {
    const broken = Uint8Array.prototype.slice.call(whole, 0, 20_000);
    for (let count = 0; count < 4; count++) {
      broken[Math.floor(Math.random() * 4000)] = Math.floor(Math.random() * 256);
    }
    expect(await write(broken)).not.toBe("guest");
  }
});

test("breaking off in the middle ends the program in the guest", async () => {
  const path = join(place, "endless");
  writeFileSync(path, "");
  truncateSync(path, 1e12);
  const stream = await fixture.agent.files.readStream(path);
  await new Promise((resolve) => stream.once("data", resolve));
  stream.destroy();
  const sink = await fixture.agent.files.writeTar(join(place, "in"));
  sink.writable.destroy(new Error("enough"));
  expect(await codeOf(sink.finished)).toBe("cancelled");
  expect((await fixture.agent.run(["true"])).status).toEqual({ code: 0 });
});

for (const [ending, end] of [
  ["cancelled", (writable: Writable) => writable.destroy(new Error("cancelled"))],
  ["cut short", (writable: Writable) => writable.end()],
] as const) {
  test(`an archive that is ${ending} leaves no part of a file, and an old one stays`, async () => {
    const tree = join(place, "old");
    mkdirSync(tree);
    writeFileSync(join(tree, "file"), Buffer.alloc(MiB, "after"));
    const archive = await Array.fromAsync(await fixture.agent.files.readTar(tree));
    const half = Buffer.concat(archive).subarray(0, MiB / 2);
    for (const before of [["file"], []]) {
      const target = mkdtempSync(join(place, "in-"));
      mkdirSync(join(target, "old"));
      for (const name of before) writeFileSync(join(target, "old", name), "before");
      const sink = await fixture.agent.files.writeTar(target);
      await new Promise((resolve) => sink.writable.write(half, resolve));
      while (readdirSync(join(target, "old")).length === before.length) await Bun.sleep(5);
      end(sink.writable);
      expect(await codeOf(sink.finished)).not.toBe("no error");
      while (readdirSync(join(target, "old")).length > before.length) await Bun.sleep(5);
      for (const name of before)
        expect(readFileSync(join(target, "old", name), "utf8")).toBe("before");
    }
  });
}

test("an archive replaces links, and gives new files its owners and modes whatever their directory gives", async () => {
  const isRoot = process.getuid?.() === 0;
  const owner = isRoot ? { uid: 1234, gid: 4321 } : {};
  const target = join(place, "in");
  mkdirSync(target);
  // Files in it get its group.
  if (isRoot) chownSync(target, 0, 99);
  chmodSync(target, 0o2775);
  writeFileSync(join(place, "outside"), "kept");
  symlinkSync(join(place, "outside"), join(target, "symlink"));
  linkSync(join(place, "outside"), join(target, "hard"));
  const names = ["new", "symlink", "hard"];
  const archive = await makeTar(
    names.flatMap((name) => [
      { name, mode: 0o640, uid: 0, gid: 0, body: name },
      { name: `${name}-owned`, mode: 0o4751, ...owner, body: name },
    ]),
  );
  const sink = await fixture.agent.files.writeTar(target);
  await pipeline(Readable.from([archive]), sink.writable);
  await sink.finished;
  expect(readFileSync(join(place, "outside"), "utf8")).toBe("kept");
  for (const name of names) {
    const file = lstatSync(join(target, name));
    expect([name, file.isFile(), file.mode & 0o7777, file.nlink]).toEqual([name, true, 0o640, 1]);
    const owned = lstatSync(join(target, `${name}-owned`));
    expect([name, owned.mode & 0o7777]).toEqual([name, 0o4751]);
    if (isRoot) expect([file.gid, owned.uid, owned.gid]).toEqual([0, 1234, 4321]);
  }
});

test("a file whose writer leaves before its end keeps what it had", async () => {
  const path = join(place, "left");
  writeFileSync(path, "before");
  for (let round = 0; round < 20; round++) {
    const sink = await fixture.agent.files.writeStream(path);
    await new Promise((resolve) => sink.writable.write(Buffer.from("part"), resolve));
    await Bun.sleep(round);
    sink.writable.destroy(new Error("the client has left"));
    expect(await codeOf(sink.finished)).not.toBe("no error");
    await Bun.sleep(5);
    expect(readFileSync(path, "utf8")).toBe("before");
  }
});

test("a tree is listed with everything below it, and some of its files come as an archive", async () => {
  mkdirSync(join(place, "sub/deep"), { recursive: true });
  writeFileSync(join(place, "sub/deep/file"), "12345", { mode: 0o640 });
  symlinkSync("nowhere", join(place, "sub/link"));
  utimesSync(join(place, "sub/deep/file"), 1_700_000_000.25, 1_700_000_000.25);
  const { files } = fixture.agent;
  const bytes = Buffer.concat(await Array.fromAsync(await files.readTree(place)));
  const records = bytes.toString().split("\0").slice(0, -1);
  expect(records).toContain("100640 5 1700000000.250000000 /sub/deep/file");
  expect(records[records.findIndex((text) => text.endsWith(" /sub/link")) + 1]).toBe("nowhere");
  expect(records.findIndex((text) => text.endsWith(" /sub/deep"))).toBeLessThan(
    records.findIndex((text) => text.endsWith(" /sub/deep/file")),
  );
  const noFolder = await files.readTree(join(place, "sub/deep/file"));
  expect(await codeOf(Array.fromAsync(noFolder))).toBe("not_found");
  for (const names of [["sub/deep/file"], ["sub/link", "gone", "sub/deep/file", "not/there"]]) {
    const archive = Buffer.concat(await Array.fromAsync(await files.readTarOf(place, names)));
    writeFileSync(join(place, "out.tar"), archive);
    const listed = await runOk(["tar", "-tf", join(place, "out.tar")]);
    expect([...new Set(listed.trim().split("\n"))].toSorted()).toEqual(
      names.filter((name) => name.startsWith("sub/")).toSorted(),
    );
  }
});
