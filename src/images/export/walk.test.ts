/** Disks that a guest has made up: what is read of them stays within their size, and leaves the daemon its turns. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BangerError } from "#base/error.ts";
import { changesTar, indexUpper } from "#builds/run/upper.ts";
import type { Attributes } from "#ext4/attributes.ts";
import { BLOCK_BYTES, extent, inode as inodeAt, roCompat, superblock } from "#ext4/format.ts";
import { openExt4 } from "#ext4/read/reader.ts";
import { ROOT_NODE } from "#ext4/write/tree.ts";
import { Ext4Writer } from "#ext4/write/writer.ts";
import { LIMIT_MS } from "#test/limit.ts";
import { exportTar } from "./tar.ts";
import { walkTree } from "./walk.ts";

// For a run of several files, of which only the first has the default of its own.
setDefaultTimeout(LIMIT_MS);

const INODE_BYTES = 256;
const MANY = 8_000;
const plain: Attributes = { mode: 0o755, uid: 0, gid: 0, mtime_s: 0, mtime_ns: 0 };
const name = (text: string) => Buffer.from(text);

let folder: string;
let image: Buffer;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "banger-walk-"));
  const path = join(folder, "made");
  const fd = openSync(path, "w");
  const writer = new Ext4Writer(fd, { seed: "test" });
  const upper = writer.createDirectory(ROOT_NODE, name("upper"), plain);
  const many = writer.createDirectory(upper, name("many"), plain);
  for (let index = 0; index < MANY; index++) writer.createFifo(many, name(`n${index}`), plain);
  for (const each of ["a", "b"]) {
    const node = writer.createFile(upper, name(each), { ...plain, size: 5 * BLOCK_BYTES });
    writer.write(Buffer.alloc(5 * BLOCK_BYTES, each));
    writer.closeFile(node);
  }
  const xattrs = [1, 2, 3].map((n) => ({ name: name(`user.${n}`), value: new Uint8Array(1000) }));
  writer.createFifo(upper, name("tagged"), { ...plain, xattrs });
  await writer.finish();
  closeSync(fd);
  image = readFileSync(path);
  // Whoever makes a disk up makes its checksums right; these tests leave them off.
  const features = superblock.OFFSET + superblock.FEATURE_RO_COMPAT;
  image.writeUInt32LE(image.readUInt32LE(features) & ~roCompat.METADATA_CSUM, features);
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

function disk(change: (bytes: Buffer, inodeOf: (path: string) => number) => void): string {
  const path = join(folder, "disk");
  const bytes = Buffer.from(image);
  writeFileSync(path, bytes);
  change(bytes, (file) => {
    using reader = openExt4(path);
    const table = bytes.readUInt32LE(BLOCK_BYTES + 8) * BLOCK_BYTES;
    return table + (reader.stat(file).inode - 1) * INODE_BYTES;
  });
  writeFileSync(path, bytes);
  return path;
}

type Extent = [logical: number, physical: number, count: number];

function putExtents(bytes: Buffer, at: number, node: { depth: number; extents: Extent[] }): void {
  const { depth, extents } = node;
  bytes.writeUInt16LE(extent.MAGIC, at);
  bytes.writeUInt16LE(extents.length, at + 2);
  bytes.writeUInt16LE(depth, at + 6);
  for (const [index, [logical, physical, count]] of extents.entries()) {
    const entry = at + extent.HEADER_BYTES + index * extent.ENTRY_BYTES;
    bytes.writeUInt32LE(logical, entry);
    if (depth > 0) {
      bytes.writeUInt32LE(physical, entry + 4);
      bytes.writeUInt32LE(0, entry + 8);
    } else {
      bytes.writeUInt16LE(count, entry + 4);
      bytes.writeUInt16LE(0, entry + 6);
      bytes.writeUInt32LE(physical, entry + 8);
    }
  }
}

/** Block number of the first block of a file that is one run. */
function firstBlock(bytes: Buffer, inode: number): number {
  return bytes.readUInt32LE(inode + inodeAt.BLOCK + extent.HEADER_BYTES + 8);
}

async function codesOf(path: string): Promise<unknown[]> {
  using reader = openExt4(path);
  const works = [
    indexUpper(reader),
    Array.fromAsync(changesTar(reader, { before: new Map(), after: new Map() })),
    Array.fromAsync(exportTar(reader)),
  ];
  return (await Promise.allSettled(works)).map((result) =>
    result.status === "fulfilled"
      ? "read"
      : result.reason instanceof BangerError
        ? result.reason.code
        : result.reason,
  );
}

const damaged = ["integrity", "integrity", "integrity"];

test("the disk as it was made is read", async () => {
  expect(await codesOf(disk(() => undefined))).toEqual(["read", "read", "read"]);
});

test("a directory that claims one block over and over is damaged", async () => {
  const path = disk((bytes, inodeOf) => {
    const at = inodeOf("upper/many");
    const block = firstBlock(bytes, at);
    const extents = [0, 1, 2, 3].map((n): Extent => [n, block, 1]);
    bytes.writeUInt32LE(4 * BLOCK_BYTES, at + inodeAt.SIZE_LO);
    putExtents(bytes, at + inodeAt.BLOCK, { depth: 0, extents });
  });
  expect(await codesOf(path)).toEqual(damaged);
  using reader = openExt4(path);
  expect(() => reader.list("upper/many")).toThrow(/shares blocks/);
  expect(() => reader.stat("upper/many/none")).toThrow(/shares blocks/);
});

test("a block of the map that is there twice is damaged, and so are extents of no length", async () => {
  for (const isMap of [true, false]) {
    const path = disk((bytes, inodeOf) => {
      const at = inodeOf("upper/a") + inodeAt.BLOCK;
      const leaf = firstBlock(bytes, inodeOf("upper/b"));
      putExtents(bytes, leaf * BLOCK_BYTES, { depth: 0, extents: isMap ? [] : [[0, leaf, 0]] });
      const extents: Extent[] = isMap
        ? [
            [0, leaf, 0],
            [1, leaf, 0],
          ]
        : [[0, leaf, 0]];
      putExtents(bytes, at, { depth: 1, extents });
    });
    expect((await codesOf(path))[2]).toBe("integrity");
  }
});

test("two files on the same blocks are damaged", async () => {
  const path = disk((bytes, inodeOf) => {
    const [a, b] = [inodeOf("upper/a"), inodeOf("upper/b")];
    bytes.copy(bytes, b + inodeAt.BLOCK, a + inodeAt.BLOCK, a + inodeAt.BLOCK + 60);
  });
  expect(await codesOf(path)).toEqual(damaged);
});

test("attributes that share a value are damaged", async () => {
  const path = disk((bytes, inodeOf) => {
    const at = bytes.readUInt32LE(inodeOf("upper/tagged") + inodeAt.XATTR_BLOCK_LO) * BLOCK_BYTES;
    // Each of the three takes all of the block for its value.
    for (let entry = at + 32; bytes.readUInt32LE(entry) !== 0; ) {
      bytes.writeUInt16LE(0, entry + 2);
      bytes.writeUInt32LE(BLOCK_BYTES, entry + 8);
      entry += 16 + ((bytes[entry] as number) + 3 - (((bytes[entry] as number) + 3) % 4));
    }
  });
  expect(await codesOf(path)).toEqual(["read", "integrity", "integrity"]);
});

test("too many entries are refused before they are kept, in all folders together", async () => {
  using reader = openExt4(disk(() => undefined));
  const many = reader.stat("upper/many");
  expect(await reader.entries(many, { max: MANY })).toHaveLength(MANY);
  await expect(reader.entries(many, { max: MANY - 1 })).rejects.toMatchObject({
    code: "limit_exceeded",
  });
  const walk = (entriesMax: number) =>
    Array.fromAsync(walkTree(reader, reader.stat("upper"), { entriesMax }));
  expect(await walk(MANY + 4)).toHaveLength(MANY + 4);
  await expect(walk(MANY + 3)).rejects.toMatchObject({ code: "limit_exceeded" });
});

test("others have their turn while a disk is read", async () => {
  using reader = openExt4(disk(() => undefined));
  let turns = 0;
  let isOver = false;
  const turn = (): void => {
    turns++;
    if (!isOver) setImmediate(turn);
  };
  setImmediate(turn);
  await indexUpper(reader);
  isOver = true;
  expect(turns).toBeGreaterThan(2);
});
