import { expect, test } from "bun:test";
import fc from "fast-check";
import type { TarEntry } from "./entry.ts";
import { TarReader } from "./reader.ts";
import { storedBytes, TAR_END, tarHeader, tarPadding, type WrittenEntry } from "./write.ts";

interface Seen extends Omit<TarEntry, "name" | "linkName" | "xattrs"> {
  name: string;
  linkName: string;
  xattrs: [string, string][];
  data: [number, string][];
}

/** What our reader makes of archives that hold `entries`, each with its data. */
function readBack(entries: readonly { entry: WrittenEntry; data: Uint8Array }[]): Seen[] {
  const seen: Seen[] = [];
  const reader = new TarReader({
    entry(entry) {
      seen.push({
        ...entry,
        name: hex(entry.name),
        linkName: hex(entry.linkName),
        xattrs: entry.xattrs.map(({ name, value }) => [hex(name), hex(value)]),
        data: [],
      });
    },
    data(bytes, offset) {
      seen.at(-1)?.data.push([offset, hex(bytes)]);
    },
    end() {},
  });
  for (const { entry, data } of entries) {
    reader.push(tarHeader(entry));
    reader.push(data);
    reader.push(tarPadding(data.length));
  }
  reader.push(TAR_END);
  reader.finish();
  return seen;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

/** No zero byte; no "/" at the end, which says that it is a folder. */
const nameBytes = fc
  .uint8Array({ minLength: 1, maxLength: 300 })
  .map((bytes) => bytes.map((byte) => (byte === 0 || byte === 0x2f ? 0x61 : byte)));
const id = fc.integer({ min: 0, max: 2 ** 32 - 2 });

const files = fc.record({
  name: nameBytes,
  mode: fc.integer({ min: 0, max: 0o7777 }),
  uid: id,
  gid: id,
  mtime_s: fc.integer({ min: -(2 ** 31), max: 2 ** 34 - 1 }),
  mtime_ns: fc.integer({ min: 0, max: 999_999_999 }),
  xattrs: fc.uniqueArray(
    fc.record({
      name: fc.stringMatching(/^user\.[a-z]{1,20}$/).map((name) => Buffer.from(name)),
      value: fc.uint8Array({ maxLength: 200 }),
    }),
    { selector: ({ name }) => name.toString(), maxLength: 4 },
  ),
  data: fc.uint8Array({ maxLength: 2000 }),
});

test("tarHeader() writes what TarReader reads, whatever the fields", () => {
  fc.assert(
    fc.property(fc.array(files, { maxLength: 4 }), (list) => {
      const written = list.map(({ data, ...fields }) => ({
        entry: { ...fields, type: "file" as const, size: data.length },
        data,
      }));
      const seen = readBack(written);
      expect(seen.length).toBe(list.length);
      for (const [index, { entry, data }] of written.entries()) {
        expect(seen[index]).toMatchObject({
          type: "file",
          name: hex(entry.name),
          mode: entry.mode,
          uid: entry.uid,
          gid: entry.gid,
          size: data.length,
          mtime_s: entry.mtime_s,
          mtime_ns: entry.mtime_ns,
        });
        expect(seen[index]?.xattrs.toSorted()).toEqual(
          entry.xattrs
            .map(({ name, value }): [string, string] => [hex(name), hex(value)])
            .toSorted(),
        );
        expect(seen[index]?.data.map(([, text]) => text).join("")).toBe(hex(data));
      }
    }),
    { numRuns: 200 },
  );
});

const plain = { mode: 0o644, uid: 0, gid: 0, mtime_s: 0, mtime_ns: 0 };

test("tarHeader() writes links, devices and folders", () => {
  const long = Buffer.alloc(200, "x");
  const none = new Uint8Array(0);
  const seen = readBack([
    { entry: { ...plain, type: "directory", name: long, size: 0 }, data: none },
    {
      entry: { ...plain, type: "symlink", name: Buffer.from("s"), linkName: long, size: 0 },
      data: none,
    },
    { entry: { ...plain, type: "link", name: long, linkName: long, size: 0 }, data: none },
    {
      entry: {
        ...plain,
        type: "block",
        name: Buffer.from("b"),
        size: 0,
        major: 4095,
        minor: 1048575,
      },
      data: none,
    },
    { entry: { ...plain, type: "fifo", name: Buffer.from("f"), size: 0 }, data: none },
  ]);
  expect(seen.map(({ type }) => type)).toEqual(["directory", "symlink", "link", "block", "fifo"]);
  expect(seen[0]?.name).toBe(`${hex(long)}2f`);
  expect(seen[1]?.linkName).toBe(hex(long));
  expect(seen[2]).toMatchObject({ name: hex(long), linkName: hex(long) });
  expect(seen[3]).toMatchObject({ major: 4095, minor: 1048575 });
});

test("tarHeader() writes where the data of a sparse file is", () => {
  const parts = [
    { offset: 4096, length: 8192 },
    { offset: 1_000_000_512, length: 512 },
  ];
  const name = Buffer.from("holes");
  const entry = { ...plain, type: "file" as const, name, size: 10 ** 12, parts };
  const [seen] = readBack([{ entry, data: Buffer.alloc(storedBytes(parts), "d") }]);
  expect(seen).toMatchObject({ name: hex(name), size: 10 ** 12 });
  const lengths = new Map(seen?.data.map(([offset, text]) => [offset, text.length / 2]));
  expect([...lengths.values()].reduce((sum, length) => sum + length, 0)).toBe(8704);
  expect(lengths.has(4096)).toBe(true);
  expect(lengths.get(1_000_000_512)).toBe(512);
});

test("tarHeader() writes a size that octal digits cannot hold", () => {
  const size = 2 ** 40;
  const header = tarHeader({ ...plain, type: "file", name: Buffer.from("large"), size });
  let read = 0;
  const reader = new TarReader({
    entry: (entry) => {
      read = entry.size;
    },
    data() {},
    end() {},
  });
  reader.push(header);
  expect(read).toBe(size);
});
