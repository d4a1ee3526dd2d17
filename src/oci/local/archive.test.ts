import { afterAll, beforeAll, expect, test } from "bun:test";
import { appendFileSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { pack } from "tar-stream";
import { BangerError } from "#base/error.ts";
import { runOk } from "#base/run.ts";
import { bangerErrorOf } from "#test/expect-error.ts";
import { makeTar } from "#test/oci-image.ts";
import { openArchive } from "./archive.ts";
import { compressionOfFile } from "./compressed-archive.ts";
import { type FileTree, readFileOf } from "./file-tree.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "banger-archive-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function write(bytes: Uint8Array): string {
  const path = join(folder, "a.tar");
  writeFileSync(path, bytes);
  return path;
}

async function text(tree: FileTree, name: string): Promise<string> {
  return Buffer.from(await readFileOf(tree, name, 1e6)).toString();
}

test.each(["gnu", "oldgnu", "pax", "posix", "ustar", "v7"])(
  "openArchive() reads what tar writes as %s",
  async (format) => {
    const source = mkdtempSync(join(folder, "source-"));
    const long = format === "v7" || format === "ustar" ? "d/e" : `${"long/".repeat(40)}name`;
    await runOk(["mkdir", "-p", join(source, long, "..")]);
    writeFileSync(join(source, "plain"), "one");
    writeFileSync(join(source, long), "two");
    await runOk(["ln", "-s", "plain", join(source, "soft")]);
    await runOk(["ln", join(source, "plain"), join(source, "zhard")]);
    const path = join(folder, `${format}.tar`);
    await runOk(["tar", `--format=${format}`, "--sort=name", "-cf", path, "-C", source, "."]);
    const tree = await openArchive(path);
    expect(await text(tree, "plain")).toBe("one");
    expect(await text(tree, long)).toBe("two");
    expect(await text(tree, "soft")).toBe("one");
    expect(await text(tree, "zhard")).toBe("one");
    expect(await tree.size("d")).toBeUndefined();
    expect(await tree.size("none")).toBeUndefined();
  },
);

test("openArchive() follows links only so far", async () => {
  const tar = pack();
  tar.entry({ name: "a", type: "symlink", linkname: "b" });
  tar.entry({ name: "b", type: "symlink", linkname: "a" });
  tar.entry({ name: "out", type: "symlink", linkname: "../../etc/passwd" });
  tar.finalize();
  const tree = await openArchive(
    write(Buffer.concat(await Array.fromAsync(tar as AsyncIterable<Uint8Array>))),
  );
  expect((await bangerErrorOf(tree.size("a"))).code).toBe("integrity");
  expect(await tree.size("out")).toBeUndefined();
});

test("openArchive() says so when the file ends early or a header is damaged", async () => {
  const tar = await makeTar({ a: "x".repeat(3000), b: "y" });
  expect((await bangerErrorOf(openArchive(write(tar.subarray(0, 2000))))).code).toBe("integrity");
  const damaged = Buffer.from(tar);
  damaged[512 + 3072 + 5] = 7;
  expect((await bangerErrorOf(openArchive(write(damaged)))).code).toBe("integrity");
});

test("openArchive() takes or refuses any damage, and never gives bytes from beyond the file", async () => {
  const tar = await makeTar({ [`${"n".repeat(150)}`]: "x".repeat(700), b: "y", c: "" });
  const change = fc.tuple(fc.nat(tar.length - 1), fc.nat(255));
  await fc.assert(
    fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 8 }), async (changes) => {
      const bytes = Buffer.from(tar);
      for (const [at, value] of changes) bytes[at] = value;
      // Header checksums are made right again, so that damage reaches the fields behind them.
      for (let at = 0; at + 512 <= bytes.length; at += 512)
        setChecksum(bytes.subarray(at, at + 512));
      try {
        const tree = await openArchive(write(bytes));
        for (const name of ["b", "c"]) {
          const size = await tree.size(name);
          if (size !== undefined) expect((await text(tree, name)).length).toBeLessThanOrEqual(size);
        }
      } catch (error) {
        if (!(error instanceof BangerError)) throw error;
      }
    }),
    { numRuns: 300 },
  );
});

test("openArchive() has the rules of the tar reader for hostile numbers", async () => {
  const tar = Buffer.from(await makeTar({ cafe: "one", b: "two" }));
  const signed = Buffer.from(tar);
  signed[3] = 0xe9;
  signed.fill(0x20, 148, 156);
  const sum = signed.subarray(0, 512).reduce((total, byte) => total + ((byte << 24) >> 24), 0);
  signed.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  expect(signed.subarray(148, 156)).not.toEqual(tar.subarray(148, 156));
  expect(await text(await openArchive(write(signed)), "b")).toBe("two");
  const negative = Buffer.from(tar);
  negative.fill(0xff, 124, 136);
  setChecksum(negative.subarray(0, 512));
  const error = await bangerErrorOf(openArchive(write(negative)));
  expect(error.code).toBe("integrity");
  expect(error.message).toMatch(/Cannot read ".*a\.tar": "cafe" has a negative size/);
});

test("openArchive() gives no parts of a sparse file as the file", async () => {
  const source = mkdtempSync(join(folder, "sparse-"));
  await runOk(["truncate", "-s", "1M", join(source, "holes")]);
  writeFileSync(join(source, "z"), "after");
  for (const format of ["gnu", "pax"]) {
    const path = join(folder, `sparse-${format}.tar`);
    await runOk(["tar", "-S", `--format=${format}`, "-cf", path, "-C", source, "holes", "z"]);
    const tree = await openArchive(path);
    expect((await bangerErrorOf(tree.size("holes"))).message).toContain("is a sparse file");
    expect(await text(tree, "z")).toBe("after");
  }
});

test("openArchive() seeks over the data", async () => {
  const path = join(folder, "large.tar");
  const tar = await makeTar({ large: "", after: "here" });
  // The header says 1 TiB, in a file of holes that nobody can read through in time.
  const size = 2 ** 40;
  const head = Buffer.from(tar.subarray(0, 512));
  head.fill(0, 124, 136);
  head.writeUInt8(0x80, 124);
  head.writeUIntBE(size, 130, 6);
  setChecksum(head);
  writeFileSync(path, head);
  truncateSync(path, 512 + size);
  appendFileSync(path, tar.subarray(512));
  expect(await text(await openArchive(path), "after")).toBe("here");
});

test("openArchive() waits for no FIFO, and opens no device", async () => {
  const fifo = join(folder, "fifo");
  expect(Bun.spawnSync(["mkfifo", fifo]).exitCode).toBe(0);
  for (const path of [fifo, "/dev/zero"]) {
    expect(await compressionOfFile(path)).toBeUndefined();
    expect((await bangerErrorOf(openArchive(path))).message).toContain("not a regular file");
  }
});

function setChecksum(block: Buffer): void {
  if (block.every((byte) => byte === 0) || block.toString("latin1", 257, 262) !== "ustar") return;
  block.fill(0x20, 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
}
