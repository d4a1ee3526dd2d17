import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { pack } from "tar-stream";
import { BangerError } from "#base/error.ts";
import { dir, file, makeTar, paxRecord, type TarSpec } from "#test/tar-build.ts";
import { errorOf, latin1, read, readOne } from "#test/tar-read.ts";

describe("sparse files", () => {
  const oldSparse = (realSize: string, parts: [number, number][], content: string): TarSpec => ({
    name: "s",
    type: "S",
    content,
    patch(header) {
      header.write("ustar  \0", 257, "latin1");
      header.fill(0, 345, 512);
      for (const [index, [offset, length]] of parts.entries()) {
        header.write(offset.toString(8).padStart(11, "0"), 386 + 24 * index);
        header.write(length.toString(8).padStart(11, "0"), 398 + 24 * index);
      }
      header.write(realSize, 483);
    },
  });

  test("in the old header", () => {
    const spec = oldSparse(
      "00000000024",
      [
        [2, 3],
        [10, 2],
        [20, 0],
      ],
      "abcde",
    );
    expect(readOne(spec)).toMatchObject({
      size: 20,
      content: "\0\0abc\0\0\0\0\0de\0\0\0\0\0\0\0\0",
    });
  });

  test.each([
    [
      "0.0",
      [
        ["GNU.sparse.size", "8"],
        ["GNU.sparse.numblocks", "2"],
        ["GNU.sparse.offset", "1"],
        ["GNU.sparse.numbytes", "2"],
        ["GNU.sparse.offset", "5"],
        ["GNU.sparse.numbytes", "1"],
      ],
    ],
    [
      "0.1",
      [
        ["GNU.sparse.size", "8"],
        ["GNU.sparse.map", "1,2,5,1"],
        ["GNU.sparse.name", "real"],
      ],
    ],
  ])("in records of version %s", (_, records) => {
    const content = Buffer.concat(records.map(([key = "", value = ""]) => paxRecord(key, value)));
    const [seen] = read(makeTar([{ name: "p", type: "x", content }, file("s", "abc")]));
    expect(seen).toMatchObject({ size: 8, content: "\0ab\0\0c\0\0" });
  });

  test("in the data, with a map over several blocks", () => {
    const parts = Array.from({ length: 150 }, (_, index) => [index * 10, 1]);
    const map = Buffer.from(`${[parts.length, ...parts.flat()].join("\n")}\n`);
    const head = Buffer.concat([map, Buffer.alloc(-map.length & 511)]);
    expect(head.length).toBeGreaterThan(512);
    const pax = {
      "GNU.sparse.major": "1",
      "GNU.sparse.minor": "0",
      "GNU.sparse.name": "real",
      "GNU.sparse.realsize": "1500",
    };
    const spec = file("GNUSparseFile/x", Buffer.concat([head, Buffer.from("x".repeat(150))]), {
      pax,
    });
    for (const chunk_bytes of [1 << 20, 100]) {
      const [seen] = read(makeTar([spec, file("next")]), chunk_bytes);
      expect(seen).toMatchObject({ name: "real", size: 1500 });
      expect(seen?.content).toBe(`x${"\0".repeat(9)}`.repeat(150));
    }
  });

  test.each([
    [
      "overlapping parts",
      [
        [2, 3],
        [4, 2],
      ],
    ],
    [
      "parts out of order",
      [
        [10, 2],
        [2, 3],
      ],
    ],
    ["parts beyond the end", [[18, 5]]],
    ["parts that are not the data", [[2, 4]]],
  ] as [string, [number, number][]][])("%s are refused", (_, parts) => {
    expect(errorOf(makeTar([oldSparse("00000000024", parts, "abcde")])).code).toBe("integrity");
  });
});

describe("the archive", () => {
  const specs = [dir("d"), file("d/a", "x".repeat(1000)), file("b", "")];

  test("may end without zeros, and what follows two zero blocks is no matter", () => {
    expect(read(makeTar(specs, false))).toHaveLength(3);
    expect(read(Buffer.concat([makeTar(specs), Buffer.from("garbage")]))).toHaveLength(3);
    expect(read(new Uint8Array())).toEqual([]);
  });

  test("may lack the padding of its last file, or have part of the end", () => {
    const whole = makeTar(specs.slice(0, 2), false);
    for (const end of [512 + 512 + 1000, 512 + 512 + 1001, whole.length]) {
      const seen = read(whole.subarray(0, end));
      expect(seen.at(-1)?.content).toBe("x".repeat(1000));
    }
    for (const zeros of [1, 511, 512, 513]) {
      expect(read(Buffer.concat([whole, Buffer.alloc(zeros)]))).toHaveLength(2);
    }
    const dump = { name: "dump", type: "D", content: "x".repeat(100) };
    expect(errorOf(makeTar([dump], false).subarray(0, 700)).message).toContain("ends early");
  });

  test("that ends inside an entry is refused, wherever that is", () => {
    const whole = makeTar(specs, false);
    const borders = [0, 512, 512 + 512 + 1024, whole.length];
    for (let end = 1; end < whole.length; end += 37) {
      const isInPadding = end >= 512 + 512 + 1000 && end < 512 + 512 + 1024;
      if (borders.includes(end) || isInPadding) continue;
      expect(errorOf(whole.subarray(0, end)).message).toContain("ends early");
    }
    expect(errorOf(makeTar([{ name: "p", type: "x", content: "6 a=b\n" }])).code).toBe("integrity");
  });

  test("with a wrong checksum, or that is something else, is refused", () => {
    const damaged = makeTar(specs);
    damaged[3] = 0x7a;
    expect(errorOf(damaged).message).toContain("checksum");
    expect(errorOf(Buffer.alloc(2048, "<html>")).code).toBe("integrity");
  });

  test("is read the same whatever the chunks", () => {
    const archive = makeTar([
      ...specs,
      file("c", "y".repeat(5000), { pax: { path: "p".repeat(300) } }),
    ]);
    const whole = read(archive);
    for (const chunk_bytes of [1, 7, 511, 512, 513, 1024, 5000]) {
      expect(read(archive, chunk_bytes)).toEqual(whole);
    }
  });

  test("never makes the reader fail otherwise than with a code, however it is damaged", () => {
    const archive = makeTar([
      ...specs,
      file("s", "abc", { pax: { "GNU.sparse.map": "0,3", "GNU.sparse.size": "9" } }),
    ]);
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(archive.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 }),
        fc.boolean(),
        (changes, seals) => {
          const copy = Buffer.from(archive);
          for (const [at, value] of changes) copy[at] = value;
          if (seals) sealHeaders(copy);
          try {
            read(copy);
          } catch (error) {
            expect(error).toBeInstanceOf(BangerError);
          }
        },
      ),
      { numRuns: 2000 },
    );
  });
});

/** Makes the checksums of what may be headers right again, so that damage gets past them. */
function sealHeaders(archive: Buffer): void {
  for (let at = 0; at + 512 <= archive.length; at += 512) {
    const block = archive.subarray(at, at + 512);
    if (block.toString("latin1", 257, 262) !== "ustar") continue;
    block.fill(0x20, 148, 156);
    const sum = block.reduce((total, byte) => total + byte, 0);
    block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  }
}

test("reads what tar-stream packs", async () => {
  const text = fc.string({ unit: "grapheme", minLength: 1, maxLength: 150 });
  const name = text.filter((each) => !/[\0/]/.test(each) && each.trim() !== "");
  const entry = fc.record({
    name,
    linkname: name,
    type: fc.constantFrom("file", "symlink", "directory", "fifo", "character-device"),
    content: fc.uint8Array({ maxLength: 3000 }),
    mode: fc.integer({ min: 1, max: 0o7777 }),
    uid: fc.nat(0o777777),
    gid: fc.nat(0o777777),
    // tar-stream counts in 32 bits.
    mtime: fc.nat(2 ** 31 - 1),
    devmajor: fc.nat(4095),
    devminor: fc.nat(4095),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(entry, { maxLength: 8 }),
      fc.integer({ min: 1, max: 3000 }),
      async (entries, chunk_bytes) => {
        const packer = pack();
        for (const { content, mtime, type, ...rest } of entries) {
          const header = { ...rest, type: type as "file", mtime: new Date(mtime * 1000) };
          if (type === "file") packer.entry(header, Buffer.from(content));
          else packer.entry(header);
        }
        packer.finalize();
        const archive = Buffer.concat(await Array.fromAsync(packer as AsyncIterable<Buffer>));
        const seen = read(archive, chunk_bytes);
        expect(seen.map(({ mode, uid, gid, mtime_s }) => ({ mode, uid, gid, mtime_s }))).toEqual(
          entries.map(({ mode, uid, gid, mtime }) => ({ mode, uid, gid, mtime_s: mtime })),
        );
        for (const [index, expected] of entries.entries()) {
          const actual = seen[index];
          expect(actual?.name.replace(/\/$/, "")).toBe(latin1(Buffer.from(expected.name)));
          if (expected.type === "file") expect(actual?.content).toBe(latin1(expected.content));
          if (expected.type === "symlink") {
            expect(actual?.linkName).toBe(latin1(Buffer.from(expected.linkname)));
          }
          if (expected.type === "character-device") {
            expect(actual).toMatchObject({ major: expected.devmajor, minor: expected.devminor });
          }
        }
      },
    ),
    { numRuns: 100 },
  );
});
