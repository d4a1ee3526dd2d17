import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { closeSync, mkdtempSync, openSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { KiB, MiB } from "#base/size.ts";
import type { Attributes } from "#ext4/attributes.ts";
import { BLOCK_BYTES, modes } from "#ext4/format.ts";
import { type Ext4Reader, openExt4 } from "#ext4/read/reader.ts";
import { ROOT_NODE } from "./tree.ts";
import { Ext4Writer } from "./writer.ts";
import { checkXattrs } from "./xattrs.ts";

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "banger-ext4-"));
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

const plain: Attributes = { mode: 0o644, uid: 0, gid: 0, mtime_s: 0, mtime_ns: 0 };
const name = (text: string) => Buffer.from(text);

async function written(fill: (writer: Ext4Writer) => void): Promise<Ext4Reader> {
  const path = join(folder, "image");
  const fd = openSync(path, "w");
  try {
    const writer = new Ext4Writer(fd, { seed: "test", label: "label" });
    fill(writer);
    await writer.finish();
  } finally {
    closeSync(fd);
  }
  return openExt4(path);
}

function addFile(
  writer: Ext4Writer,
  path: string,
  parts: [number, Uint8Array][],
  size: number,
): void {
  const node = writer.createFile(ROOT_NODE, name(path), { ...plain, size });
  for (const [offset, bytes] of parts) {
    writer.hole(offset);
    writer.write(bytes);
  }
  writer.closeFile(node);
}

/** Bytes that differ from block to block and within each. */
function pattern(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, at) => (at * 31 + (at >> 8)) & 255);
}

test.each([0, 1, 4095, 4096, 4097, 8191, 256 * KiB, 256 * KiB + 1, 3 * MiB + 5])(
  "a file of %p bytes",
  async (size) => {
    const content = pattern(size);
    using reader = await written((writer) => {
      addFile(writer, "before", [[0, pattern(10)]], 10);
      addFile(writer, "file", [[0, content]], size);
      addFile(writer, "after", [[0, pattern(11)]], 11);
    });
    expect(Buffer.compare(reader.readFile("file"), content)).toBe(0);
    expect(reader.readFile("after")).toEqual(pattern(11));
    const stat = reader.stat("file");
    expect(stat).toMatchObject({ size, allocatedBlocks: Math.ceil(size / BLOCK_BYTES) });
    expect(reader.runs(stat).length).toBe(size === 0 ? 0 : 1);
  },
);

describe("holes", () => {
  test.each([
    ["all", [], 10_000, 0],
    ["at the start", [[8192, 10]], 8202, 1],
    ["at the end", [[0, 10]], MiB, 1],
    [
      "inside a block",
      [
        [10, 20],
        [100, 30],
      ],
      4096,
      1,
    ],
    [
      "to the same block",
      [
        [0, 10],
        [4000, 96],
      ],
      4096,
      1,
    ],
    [
      "to the next block",
      [
        [0, 10],
        [4096, 1],
      ],
      4097,
      2,
    ],
    [
      "over a block",
      [
        [0, 10],
        [8192, 1],
      ],
      9000,
      2,
    ],
    [
      "that begin and end in blocks",
      [
        [5, 10],
        [20_000, 5000],
        [30_001, 1],
      ],
      70_000,
      5,
    ],
  ] as [string, [number, number][], number, number][])("%s", async (_, parts, size, blocks) => {
    const expected = new Uint8Array(size);
    const given = parts.map(([offset, length]): [number, Uint8Array] => [offset, pattern(length)]);
    for (const [offset, bytes] of given) expected.set(bytes, offset);
    using reader = await written((writer) => addFile(writer, "file", given, size));
    expect(Buffer.compare(reader.readFile("file"), expected)).toBe(0);
    expect(reader.stat("file").allocatedBlocks).toBe(blocks);
  });

  test.each([4, 5, 340 * 4, 340 * 4 + 1, 5000])("%p parts need as many extents", async (count) => {
    const one = Uint8Array.of(7);
    const parts = Array.from({ length: count }, (_, index): [number, Uint8Array] => [
      index * 8192,
      one,
    ]);
    using reader = await written((writer) => addFile(writer, "file", parts, count * 8192));
    const stat = reader.stat("file");
    const runs = reader.runs(stat);
    expect(runs).toHaveLength(count);
    expect(runs.at(-1)?.logical).toBe((count - 1) * 2);
    const leaves = count <= 4 ? 0 : Math.ceil(count / 340);
    expect(stat.allocatedBlocks).toBe(count + leaves + (leaves > 4 ? 1 : 0));
  });
});

test.each([1, 59, 60, 61, 4095])("a symbolic link to %p bytes", async (length) => {
  const target = Buffer.alloc(length, "t");
  using reader = await written((writer) => {
    writer.createSymlink(ROOT_NODE, name("link"), { ...plain, target });
  });
  const stat = reader.stat("link");
  expect(stat).toMatchObject({ type: modes.SYMLINK, size: length });
  expect(stat.allocatedBlocks).toBe(length < 60 ? 0 : 1);
  expect(Buffer.from(reader.targetOf(stat))).toEqual(target);
});

describe("extended attributes", () => {
  // 92 bytes in the inode: 16 and the name for each, the value, and 4 zeros.
  test.each([
    [[68], 0],
    [[69], 1],
    [[20, 20], 0],
    [[20, 200, 20], 1],
    [[4032], 1],
    [Array.from({ length: 90 }, () => 10), 1],
    // In inodes of their own, whose blocks count as the file's.
    [[4041], 2],
    [[3000, 3000, 10], 2],
    [[65_536, 5000, 3000], 19],
  ])("values of %p bytes take %p blocks", async (lengths, blocks) => {
    const xattrs = lengths.map((length, index) => ({
      name: name(`user.${String(index).padStart(4, "0")}`),
      value: pattern(length),
    }));
    using reader = await written((writer) => {
      const node = writer.createFifo(ROOT_NODE, name("pipe"), { ...plain, xattrs });
      expect(node).toBeGreaterThan(0);
    });
    const stat = reader.stat("pipe");
    expect(stat.allocatedBlocks).toBe(blocks);
    const seen = reader.xattrs(stat).sort((a, b) => Buffer.compare(a.name, b.name));
    expect(seen).toEqual(xattrs);
  });

  test("values that do not fit leave a short link short, and are bounded as in Linux", async () => {
    const xattrs = [{ name: name("trusted.large"), value: pattern(9000) }];
    using reader = await written((writer) => {
      writer.createSymlink(ROOT_NODE, name("link"), { ...plain, xattrs, target: name("short") });
    });
    expect(Buffer.from(reader.targetOf(reader.stat("link"))).toString()).toBe("short");
    expect(reader.xattrs(reader.stat("link"))).toEqual(xattrs);
    const value = new Uint8Array(65_537);
    expect(() => checkXattrs([{ name: name("user.larger"), value }])).toThrow(/65536/);
    const many = Array.from({ length: 250 }, (_, index) => ({
      name: name(`user.${index}`),
      value: new Uint8Array(10),
    }));
    expect(() => checkXattrs(many)).toThrow(/do not fit in an ext4 block/);
  });

  test("an ACL is stored in ext4's form and read back in the kernel's", async () => {
    const acl = Buffer.from(
      "02000000" +
        "01000600ffffffff" +
        "02000700e8030000" +
        "04000400ffffffff" +
        "10000700ffffffff" +
        "20000000ffffffff",
      "hex",
    );
    const xattrs = [{ name: name("system.posix_acl_access"), value: acl }];
    using reader = await written((writer) => {
      writer.createFifo(ROOT_NODE, name("pipe"), { ...plain, xattrs });
    });
    expect(Buffer.from(reader.xattrs(reader.stat("pipe"))[0]?.value ?? "")).toEqual(acl);
  });
});

test("removing a folder removes all below it, and its room is free again", async () => {
  const fill = (writer: Ext4Writer): number => {
    let at = ROOT_NODE;
    for (let depth = 0; depth < 500; depth++) at = writer.createDirectory(at, name("d"), plain);
    const node = writer.createFile(at, name("f"), { ...plain, size: MiB });
    writer.write(new Uint8Array(MiB));
    writer.closeFile(node);
    return writer.tree.lookup(ROOT_NODE, name("d"));
  };
  using full = await written((writer) => void fill(writer));
  const used = full.info.size_bytes - full.info.free_bytes;
  using reader = await written((writer) => writer.remove(fill(writer)));
  expect(reader.list("/")).toEqual([]);
  expect(used - (reader.info.size_bytes - reader.info.free_bytes)).toBeGreaterThan(MiB);
});

test("the superblock says what was asked for", async () => {
  using reader = await written(() => undefined);
  expect(reader.info).toMatchObject({ label: "label", blockSize: 4096, hasJournal: false });
  expect(reader.info.uuid).toMatch(
    /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
  );
});
