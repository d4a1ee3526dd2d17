/** Archives of a hostile guest on the host's disk, and honest ones of GNU tar. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { type Header, pack } from "tar-stream";
import { BangerError } from "#base/error.ts";
import { runOk } from "#base/run.ts";
import { MiB } from "#base/size.ts";
import type { FileKind } from "#guest/files.ts";
import { extractTar } from "./extract.ts";

/** As for "vm:/folder/." */
const CONTENTS = { expected: { name: ".", kind: "directory" } } as const;

let place: string;
let target: string;

beforeEach(() => {
  place = mkdtempSync(join(tmpdir(), "banger-extract-"));
  target = join(place, "target");
  mkdirSync(target);
});

afterEach(() => rmSync(place, { recursive: true, force: true }));

async function* chunks(bytes: Uint8Array, size = 1000): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function tarOf(
  entries: (Partial<Header> & { name: string } & { body?: string })[],
): Promise<Uint8Array> {
  const packer = pack();
  for (const { body, ...header } of entries) packer.entry(header, body ?? "");
  packer.finalize();
  const parts: Uint8Array[] = [];
  for await (const part of packer) parts.push(Buffer.from(part as Uint8Array));
  return Buffer.concat(parts);
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  return await promise.then(
    () => "no error",
    (error: unknown) => (error instanceof BangerError ? error.code : String(error)),
  );
}

test("a tree of GNU tar arrives with modes, times, links and holes", async () => {
  const tree = join(place, "tree");
  mkdirSync(join(tree, "sub"), { recursive: true });
  writeFileSync(join(tree, "sub/file"), "data", { mode: 0o640 });
  writeFileSync(join(tree, "holes"), "begin");
  truncateSync(join(tree, "holes"), 8 * MiB);
  symlinkSync("sub/file", join(tree, "soft"));
  await runOk(["ln", join(tree, "sub/file"), join(tree, "hard")]);
  utimesSync(join(tree, "sub"), 1, 1000);
  await runOk(["tar", "--format=pax", "-S", "-C", place, "-cf", join(place, "a.tar"), "tree"]);
  const result = await extractTar(chunks(readFileSync(join(place, "a.tar"))), target, {
    expected: { name: "tree", kind: "directory" },
  });
  expect(result).toMatchObject({ entries: 6, skipped: 0 });
  expect(
    await runOk([
      "rsync",
      "-rlpHtcni",
      "--modify-window=1",
      "--delete",
      `${tree}/`,
      `${target}/tree`,
    ]),
  ).toBe("");
  expect(statSync(join(target, "tree/holes")).blocks).toBeLessThan(64);
});

const attacks: {
  name: string;
  entries: (Partial<Header> & { name: string } & { body?: string })[];
  code: string;
}[] = [
  {
    name: "a name with ..",
    entries: [{ name: "a/../../escaped", body: "evil" }],
    code: "invalid_argument",
  },
  {
    name: "an absolute name",
    entries: [{ name: "/escaped", body: "evil" }],
    code: "no error",
  },
  {
    name: "a file through a symlink of the archive",
    entries: [
      { name: "out", type: "symlink", linkname: ".." },
      { name: "out/escaped", body: "evil" },
    ],
    code: "invalid_argument",
  },
  {
    name: "a folder in the place of a symlink",
    entries: [
      { name: "out", type: "symlink", linkname: ".." },
      { name: "out", type: "directory", mode: 0o777 },
      { name: "out/escaped", body: "evil" },
    ],
    code: "invalid_argument",
  },
  {
    name: "a file written through a symlink in its place",
    entries: [
      { name: "file", type: "symlink", linkname: "../escaped" },
      { name: "file", body: "evil" },
    ],
    code: "no error",
  },
  {
    name: "a hard link to a file outside",
    entries: [{ name: "file", type: "link", linkname: "../secret" }],
    code: "invalid_argument",
  },
  {
    name: "a hard link through a symlink",
    entries: [
      { name: "out", type: "symlink", linkname: ".." },
      { name: "file", type: "link", linkname: "out/secret" },
    ],
    code: "invalid_argument",
  },
];

for (const { name, entries, code } of attacks) {
  test(`${name} writes nothing outside`, async () => {
    writeFileSync(join(place, "secret"), "mine");
    expect(await codeOf(extractTar(chunks(await tarOf(entries)), target, CONTENTS))).toBe(code);
    expect(existsSync(join(place, "escaped"))).toBe(false);
    expect(readFileSync(join(place, "secret"), "utf8")).toBe("mine");
    expect(lstatSync(join(place, "secret")).nlink).toBe(1);
  });
}

test("devices and pipes are left out and named, set-id bits and owners are dropped", async () => {
  const archive = await tarOf([
    { name: "null", type: "character-device", devmajor: 1, devminor: 3 },
    { name: "pipe", type: "fifo" },
    { name: "su", mode: 0o6755, uid: 4711, gid: 4711, body: "#!" },
  ]);
  const result = await extractTar(chunks(archive), target, CONTENTS);
  expect(result).toMatchObject({ entries: 3, skipped: 2, skippedNames: ['"null"', '"pipe"'] });
  expect(existsSync(join(target, "null"))).toBe(false);
  const { mode, uid } = statSync(join(target, "su"));
  expect([mode & 0o7777, uid]).toEqual([0o755, process.getuid?.() ?? 0]);
});

/** What is there before, and what must be there after: name, content or kind, mode. */
function treeOf(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .map((name) => {
      const info = lstatSync(join(folder, name));
      const content = info.isFile() ? readFileSync(join(folder, name), "utf8") : "";
      return `${name} ${(info.mode & 0o777).toString(8)} ${content}`;
    })
    .sort();
}

type Entries = (Partial<Header> & { name: string } & { body?: string })[];

const unasked: { name: string; kind: FileKind; entries: Entries }[] = [
  { name: "another file", kind: "file", entries: [{ name: ".bashrc", body: "evil" }] },
  {
    name: "another file after the right one",
    kind: "file",
    entries: [
      { name: "report", body: "ok" },
      { name: ".bashrc", body: "evil" },
    ],
  },
  {
    name: "a file below a folder that exists",
    kind: "file",
    entries: [{ name: ".ssh/authorized_keys", body: "evil" }],
  },
  { name: "a folder's mode", kind: "file", entries: [{ name: ".ssh/", type: "directory" }] },
  { name: "the file as a folder", kind: "file", entries: [{ name: "report/x", body: "evil" }] },
  {
    name: "a folder instead of the file",
    kind: "file",
    entries: [{ name: "report", type: "directory" }],
  },
  {
    name: "a folder instead of the pipe",
    kind: "fifo",
    entries: [{ name: "report", type: "directory" }],
  },
  { name: "a file instead of the pipe", kind: "fifo", entries: [{ name: "report", body: "x" }] },
  {
    name: "the file twice",
    kind: "file",
    entries: [
      { name: "report", body: "ok" },
      { name: "report", body: "evil" },
    ],
  },
  {
    name: "a symlink instead of the file",
    kind: "file",
    entries: [{ name: "report", type: "symlink", linkname: ".ssh/authorized_keys" }],
  },
  {
    name: "a hard link to what is beside the file",
    kind: "file",
    entries: [{ name: "report", type: "link", linkname: ".bashrc" }],
  },
  { name: "nothing", kind: "file", entries: [] },
  { name: "a device beside the file", kind: "file", entries: [{ name: "x", type: "fifo" }] },
  {
    name: "a file beside the tree",
    kind: "directory",
    entries: [
      { name: "report", type: "directory" },
      { name: "report/a", type: "symlink", linkname: "x" },
      { name: "x", body: "evil" },
    ],
  },
  {
    name: "a file instead of the tree",
    kind: "directory",
    entries: [{ name: "report", body: "evil" }],
  },
  {
    name: "a hard link from the tree to what is beside it",
    kind: "directory",
    entries: [{ name: "report/x", type: "link", linkname: ".bashrc" }],
  },
];

for (const { name, kind, entries } of unasked) {
  test(`${name}, where a ${kind} was asked for, leaves everything beside it as it is`, async () => {
    writeFileSync(join(target, ".bashrc"), "mine", { mode: 0o600 });
    mkdirSync(join(target, ".ssh"), { mode: 0o700 });
    writeFileSync(join(target, ".ssh/authorized_keys"), "my key", { mode: 0o600 });
    const before = treeOf(target);
    const expected = { name: "report", kind };
    const archive = await tarOf(entries);
    expect(await codeOf(extractTar(chunks(archive), target, { expected }))).toBe("guest");
    const isLeft = (line: string): boolean => kind !== "directory" || !/^report( |\/)/.test(line);
    expect(treeOf(target).filter(isLeft)).toEqual(before);
    expect(lstatSync(join(target, ".bashrc")).nlink).toBe(1);
  });
}

test("a file that is there is replaced when the new one is whole, and a link in its place is not followed", async () => {
  const options = { expected: { name: "report", kind: "file" } } as const;
  writeFileSync(join(place, "other"), "mine");
  symlinkSync(join(place, "other"), join(target, "report"));
  const archive = await tarOf([{ name: "report", mode: 0o640, body: "new ".repeat(1000) }]);
  await expect(extractTar(chunks(archive.subarray(0, 3000)), target, options)).rejects.toThrow();
  expect(lstatSync(join(target, "report")).isSymbolicLink()).toBe(true);
  await extractTar(chunks(archive), target, options);
  expect(treeOf(target)).toEqual([`report 640 ${"new ".repeat(1000)}`]);
  expect(readFileSync(join(place, "other"), "utf8")).toBe("mine");
});

test("a folder keeps its time when a link in it leads to another one", async () => {
  const archive = await tarOf([
    { name: "tree", type: "directory" },
    { name: "tree/file", body: "x" },
    { name: "tree/sub", type: "directory", mtime: new Date(1_000_000) },
    { name: "tree/sub/hard", type: "link", linkname: "tree/file" },
    { name: "tree/sub/more", body: "y" },
  ]);
  await extractTar(chunks(archive), target, { expected: { name: "tree", kind: "directory" } });
  expect(statSync(join(target, "tree/sub")).mtimeMs).toBe(1_000_000);
  expect(lstatSync(join(target, "tree/file")).nlink).toBe(2);
});

test.each(["file", "symlink", "link"] as const)(
  "a FIFO of the host in the place of a %s stays what it is",
  async (type) => {
    mkdirSync(join(target, "tree"));
    await runOk(["mkfifo", join(target, "tree/pipe")]);
    const archive = await tarOf([
      { name: "tree/first", body: "x" },
      {
        name: "tree/pipe",
        type,
        ...(type === "file" ? { body: "new" } : {}),
        linkname: "tree/first",
      },
    ]);
    const expected = { name: "tree", kind: "directory" } as const;
    expect(await codeOf(extractTar(chunks(archive), target, { expected }))).toBe(
      "invalid_argument",
    );
    expect(lstatSync(join(target, "tree/pipe")).isFIFO()).toBe(true);
    expect(readdirSync(join(target, "tree")).sort()).toEqual(["first", "pipe"]);
  },
);

test("folders that exist keep their mode, new ones get theirs", async () => {
  mkdirSync(join(target, "tree/old"), { recursive: true, mode: 0o700 });
  const archive = await tarOf([
    { name: "tree", type: "directory", mode: 0o777 },
    { name: "tree/old", type: "directory", mode: 0o777 },
    { name: "tree/old/file", body: "x", mode: 0o600 },
    { name: "tree/new", type: "directory", mode: 0o750 },
  ]);
  await extractTar(chunks(archive), target, { expected: { name: "tree", kind: "directory" } });
  expect(treeOf(target)).toEqual([
    "tree 700 ",
    "tree/new 750 ",
    "tree/old 700 ",
    "tree/old/file 600 x",
  ]);
});

test("a file larger than the guest says it is now is refused, and leaves nothing", async () => {
  const archive = await tarOf([{ name: "big", body: "x".repeat(10_000) }]);
  const copy = (sizes: number[]): Promise<string> => {
    const measure = () => Promise.resolve(sizes.shift() ?? 5000);
    const expected = { name: "big", kind: "file" } as const;
    return codeOf(extractTar(chunks(archive, 100), target, { expected, measure }));
  };
  expect(await copy([5000])).toBe("limit_exceeded");
  expect(readdirSync(target)).toEqual([]);
  expect(await copy([10_001])).toBe("no error");
  expect(statSync(join(target, "big")).size).toBe(10_000);
});

test("a broken archive is an error or a tree, and nothing else", async () => {
  const archive = await tarOf([
    { name: "a", type: "directory" },
    { name: "a/b", body: "data" },
    { name: "c", type: "symlink", linkname: "a" },
    { name: "d", type: "link", linkname: "a/b" },
  ]);
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.nat({ max: archive.length - 1 }), fc.nat({ max: 255 })), {
        maxLength: 6,
      }),
      async (changes) => {
        const broken = Uint8Array.from(archive);
        for (const [at, byte] of changes) broken[at] = byte;
        await codeOf(extractTar(chunks(broken), target, CONTENTS));
        expect(existsSync(join(place, "b"))).toBe(false);
      },
    ),
    { numRuns: 100 },
  );
});
