/** Archives of a hostile guest on the host's disk, and honest ones of GNU tar. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
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
import { extractTar } from "./files-extract.ts";

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
  const result = await extractTar(chunks(readFileSync(join(place, "a.tar"))), target);
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
    expect(await codeOf(extractTar(chunks(await tarOf(entries)), target))).toBe(code);
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
  const result = await extractTar(chunks(archive), target);
  expect(result).toMatchObject({ entries: 3, skipped: 2, skippedNames: ['"null"', '"pipe"'] });
  expect(existsSync(join(target, "null"))).toBe(false);
  const { mode, uid } = statSync(join(target, "su"));
  expect([mode & 0o7777, uid]).toEqual([0o755, process.getuid?.() ?? 0]);
});

test("more data than allowed is refused", async () => {
  const archive = await tarOf([{ name: "big", body: "x".repeat(10_000) }]);
  expect(await codeOf(extractTar(chunks(archive), target, { max_bytes: 5000 }))).toBe(
    "limit_exceeded",
  );
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
        await codeOf(extractTar(chunks(broken), target));
        expect(existsSync(join(place, "b"))).toBe(false);
      },
    ),
    { numRuns: 100 },
  );
});
