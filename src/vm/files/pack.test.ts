import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  linkSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runOk } from "#base/run.ts";
import { MiB } from "#base/size.ts";
import { packTree } from "./pack.ts";

let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "banger-pack-"));
  const tree = join(folder, "tree");
  mkdirSync(join(tree, "sub"), { recursive: true });
  writeFileSync(join(tree, "one"), "one", { mode: 0o4750 });
  writeFileSync(join(tree, "sub/data"), crypto.getRandomValues(new Uint8Array(60_000)));
  linkSync(join(tree, "one"), join(tree, "sub/again"));
  symlinkSync("../one", join(tree, "sub/link"));
  writeFileSync(Buffer.from(`${tree}/\xff\xfe`, "latin1"), "bytes");
  writeFileSync(join(tree, "old"), "");
  await runOk(["touch", "-d", "1969-12-31T23:59:58.25Z", join(tree, "old")]);
  writeFileSync(join(tree, "holes"), "begin");
  truncateSync(join(tree, "holes"), 40 * MiB);
  await runOk(["mkfifo", join(tree, "pipe")]);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("packTree() makes an archive of which GNU tar makes the same tree", async () => {
  const packed = packTree(join(folder, "tree"), { name: "copy" });
  const archive = Buffer.concat(await Array.fromAsync(packed.chunks));
  expect(archive.length).toBeLessThan(MiB);
  expect(packed.result).toMatchObject({ entries: 9, skipped: 1, skippedNames: ["copy/pipe"] });
  const out = join(folder, "out");
  mkdirSync(out);
  writeFileSync(join(folder, "packed.tar"), archive);
  await runOk(["tar", "-C", out, "-xpf", join(folder, "packed.tar")]);
  const differences = await runOk([
    "rsync",
    ..."-rlptgoHcni --delete --exclude=/pipe".split(" "),
    `${folder}/tree/`,
    `${out}/copy`,
  ]);
  expect(differences).toBe("");
  expect(statSync(join(out, "copy/holes")).blocks).toBeLessThan(64);
  expect(statSync(join(out, "copy/sub/again")).ino).toBe(statSync(join(out, "copy/one")).ino);
});

test("packTree() packs one file, and the contents of a folder", async () => {
  const names = async (path: string, name: string) => {
    const bytes = Buffer.concat(await Array.fromAsync(packTree(path, { name }).chunks));
    return (await runOk(["tar", "-t"], { stdin: bytes })).trim().split("\n").sort();
  };
  expect(await names(join(folder, "tree/one"), "other")).toEqual(["other"]);
  expect(await names(`${folder}/tree/sub/.`, ".")).toEqual(["./", "again", "data", "link"]);
});

test("packTree() stops when it is cancelled, and says what does not exist", async () => {
  const cancelled = packTree(join(folder, "tree"), { name: "x", signal: AbortSignal.abort() });
  expect(Array.fromAsync(cancelled.chunks)).rejects.toMatchObject({ code: "cancelled" });
  const missing = packTree(join(folder, "nothing"), { name: "x" });
  expect(Array.fromAsync(missing.chunks)).rejects.toMatchObject({ code: "ENOENT" });
});
