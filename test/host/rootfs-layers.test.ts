/** Stacks of layers and large trees as e2fsck, umoci and the kernel see them; full disks; foreign images. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sha256 } from "#base/digest.ts";
import { run, runOk } from "#base/run.ts";
import { MiB } from "#base/size.ts";
import { openExt4 } from "#ext4/read/reader.ts";
import { buildRootfs } from "#images/rootfs/write.ts";
import { bangerErrorOf } from "#test/expect-error.ts";
import { differences, truthOf } from "#test/file-truth.ts";
import { testNeeding } from "#test/needs.ts";
import { makeLayout } from "#test/oci-layout.ts";
import { dir, file, hardLink, makeLayer, makeTar, symlink, type TarSpec } from "#test/tar-build.ts";

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "banger-layers-test-"));
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

const SEED = sha256("test");
const needsCheck = testNeeding("e2fsck");
const needsRoot = testNeeding("root", "e2fsck", "mount");

async function buildClean(path: string, ...layers: TarSpec[][]): Promise<void> {
  const made = layers.map((specs) => makeLayer(makeTar(specs)));
  await buildRootfs(made, { path, seed: SEED });
  const { exitCode, stdout, stderr } = await run(["e2fsck", "-fn", path]);
  if (exitCode !== 0) throw new Error(`e2fsck found errors:\n${stdout}${stderr}`);
}

async function seenMounted(image: string): Promise<ReturnType<typeof truthOf>> {
  const at = mkdtempSync(join(folder, "mount-"));
  await runOk(["mount", "-t", "ext4", "-o", "loop,ro", image, at]);
  try {
    return truthOf(at);
  } finally {
    await runOk(["umount", at]);
  }
}

const stack: TarSpec[][] = [
  [
    dir("", { name: "./", mode: 0o755 }),
    dir("usr"),
    dir("usr/lib"),
    file("usr/lib/a", "a", { mtime: 100 }),
    symlink("lib", "usr/lib"),
    dir("gone"),
    file("gone/x"),
    dir("opaque", { mode: 0o700, mtime: 5 }),
    file("opaque/old"),
    file("kept", "k", { uid: 7, gid: 8 }),
    file("becomes-folder"),
    dir("becomes-file"),
    file("becomes-file/x"),
    { name: "null", type: "3", major: 1, minor: 3, mode: 0o666 },
    { name: "pipe", type: "6", mode: 0o600 },
  ],
  [
    file(".wh.gone"),
    file("opaque/.wh..wh..opq"),
    file("opaque/new", "n"),
    hardLink("linked", "kept"),
    file("lib/through", "t"),
    file("becomes-file", "now"),
    dir("becomes-folder"),
    file("becomes-folder/y", "y"),
  ],
  [file("usr/lib/.wh.a"), file(".wh.kept"), dir("gone"), file("gone/back", "b", { mode: 0o4711 })],
];

testNeeding(
  "root",
  "e2fsck",
  "mount",
  "umoci",
  "igzip",
)("a stack of layers is what umoci unpacks", async () => {
  const tars = stack.map((specs, index) => {
    const path = join(folder, `stack-${index}.tar`);
    writeFileSync(path, makeTar(specs));
    return path;
  });
  const layout = join(folder, "layout");
  mkdirSync(layout);
  await makeLayout(layout, tars, { tag: "x" });
  const bundle = join(folder, "bundle");
  await runOk(["umoci", "unpack", "--image", `${layout}:x`, bundle]);
  const image = join(folder, "stack.ext4");
  await buildClean(image, ...stack);
  // umoci leaves the present time on folders that a later layer changed something in.
  const expected = truthOf(join(bundle, "rootfs"));
  const isFolderTime = (path: string, field: string) =>
    field === "mtime" && (expected.get(path)?.type ?? 0) === 0o040000;
  expect(differences(expected, await seenMounted(image), isFolderTime)).toEqual([]);
});

needsRoot("the comparison notices every kind of difference", async () => {
  const specs = [dir("d"), file("d/a", "content"), hardLink("b", "d/a"), symlink("s", "d")];
  const change = (path: string, rest: Partial<TarSpec>) =>
    specs.map((spec) => (spec.name === path ? { ...spec, ...rest } : spec));
  const variants: [string, TarSpec[]][] = [
    ["content", change("d/a", { content: "contenT" })],
    ["size", change("d/a", { content: "content!" })],
    ["mode", change("d/a", { mode: 0o600 })],
    ["uid", change("d/a", { uid: 1 })],
    ["gid", change("d/", { gid: 1 })],
    ["mtime", change("d/a", { pax: { mtime: "0.000000001" } })],
    ["xattrs", change("d/a", { pax: { "SCHILY.xattr.user.x": "1" } })],
    ["sameAs", change("b", { type: "0", content: "content" })],
    ["type", change("s", { type: "6" })],
    ["content", change("s", { linkName: "D" })],
    ["missing", specs.slice(0, 3)],
    ["unexpected", [...specs, file("more")]],
  ];
  const image = join(folder, "compare.ext4");
  await buildClean(image, specs);
  const truth = await seenMounted(image);
  for (const [field, changed] of variants) {
    await buildClean(image, changed);
    const found = differences(truth, await seenMounted(image));
    expect(found.join("\n")).toContain(field);
  }
});

needsCheck("large and deep trees are clean", async () => {
  const long = (index: number) =>
    file("x", "c", { pax: { path: `long/${index}-`.padEnd(255, "n") } });
  const many = Array.from({ length: 30_000 }, (_, index) => file(`many/${index}`, ""));
  const longNames = Array.from({ length: 9000 }, (_, index) => long(index));
  const folders = Array.from({ length: 66_000 }, (_, index) => dir(`folders/${index}`));
  const deep = dir("x", { pax: { path: "d/".repeat(2000) } });
  await buildClean(join(folder, "large.ext4"), [dir("many"), ...many, ...longNames, deep], folders);
});

needsCheck("files of many extents, and longer than four of them, are clean", async () => {
  const count = 60_000;
  const numbers = Array.from({ length: count }, (_, index) => [index * 8192, 1]);
  const map = Buffer.from(`${[count, ...numbers.flat()].join("\n")}\n`);
  const content = Buffer.concat([map, Buffer.alloc(-map.length & 511), Buffer.alloc(count, "x")]);
  const pax = {
    "GNU.sparse.major": "1",
    "GNU.sparse.minor": "0",
    "GNU.sparse.name": "sparse",
    "GNU.sparse.realsize": `${count * 8192}`,
  };
  const huge = file("huge", new Uint8Array(520 * MiB));
  const path = join(folder, "extents.ext4");
  await buildClean(path, [file("GNUSparseFile/sparse", content, { pax }), huge]);
  using reader = openExt4(path);
  expect(reader.runs(reader.stat("sparse"))).toHaveLength(count);
  expect(reader.runs(reader.stat("huge"))).toHaveLength(1);
  rmSync(path);
});

needsRoot("a full disk is told as such, and nothing is left on it", async () => {
  const at = mkdtempSync(join(folder, "small-"));
  await runOk(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", at]);
  try {
    const layer = makeLayer(makeTar([file("big", new Uint8Array(20 * MiB).fill(1))]));
    const error = await bangerErrorOf(
      buildRootfs([layer], { path: join(at, "image"), seed: SEED }),
    );
    expect(error.code).toBe("no_space");
    expect(readdirSync(at)).toEqual([]);
  } finally {
    await runOk(["umount", at]);
  }
});

testNeeding("mke2fs")("images that mke2fs made are read", async () => {
  const tree = join(folder, "tree");
  mkdirSync(join(tree, "d"), { recursive: true });
  const content = Buffer.alloc(5 * MiB, "0123456789abcdef-");
  writeFileSync(join(tree, "d/large"), content);
  writeFileSync(join(tree, "small"), "s");
  for (let index = 0; index < 300; index++)
    writeFileSync(join(tree, `d/name-${index}`), `${index}`);
  await runOk(["ln", "-s", `${"x/../".repeat(20)}d`, join(tree, "link")]);
  for (const options of [
    ["-t", "ext4"],
    ["-t", "ext4", "-O", "^metadata_csum,^64bit", "-b", "1024"],
    ["-t", "ext2", "-b", "1024"],
    ["-t", "ext3", "-I", "128"],
  ]) {
    const image = join(folder, "made.ext4");
    await runOk(["mke2fs", "-q", "-F", ...options, "-d", tree, image, "32M"]);
    using reader = openExt4(image);
    expect(Buffer.compare(reader.readFile("d/large"), content)).toBe(0);
    expect(Buffer.from(reader.readFile("d/name-299")).toString()).toBe("299");
    expect(Buffer.from(reader.readFile("small")).toString()).toBe("s");
    expect(reader.targetOf(reader.stat("link"))).toHaveLength(101);
    expect(reader.list("d")).toHaveLength(301);
  }
});

test("the test's folder holds no image of a failed build", () => {
  expect(readdirSync(folder).filter((name) => name.includes("staging"))).toEqual([]);
  expect(readFileSync("/proc/mounts", "utf8")).not.toContain(folder);
});
