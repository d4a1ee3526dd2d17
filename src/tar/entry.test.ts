import { describe, expect, test } from "bun:test";
import { file, makeTar, paxRecord, type TarSpec } from "#test/tar-build.ts";
import { errorOf, read, readOne } from "#test/tar-read.ts";

describe("numbers", () => {
  test.each([
    ["0000644\0", 0o644],
    ["000644 \0", 0o644],
    ["   644 \0", 0o644],
    ["644\0junk", 0o644],
    ["\0\0\0\0\0\0\0\0", 0],
    ["        ", 0],
    ["00006440", 0o6440],
  ])("the mode field %j", (text, mode) => {
    expect(
      readOne({ ...file("a"), patch: (header) => void header.write(text, 100, "latin1") }).mode,
    ).toBe(mode);
  });

  test.each([
    ["800000000000000000000001", 1],
    ["80000000000000ffffffffff", 2 ** 40 - 1],
    ["ffffffffffffffffffffffff", -1],
    ["fffffffffffffffffffffc18", -1000],
    ["800000000000000100000000", 2 ** 32],
  ])("the base-256 time %p", (hex, mtime) => {
    const patch = (header: Buffer) => void header.write(hex, 136, "hex");
    expect(readOne({ ...file("a"), patch })).toMatchObject({
      mtime_s: mtime,
      mtime_ns: 0,
      content: "a",
    });
  });

  test.each(["0000x44\0", "-000644\0", "89      "])("the mode field %j is refused", (text) => {
    const patch = (header: Buffer) => void header.write(text, 100, "latin1");
    expect(errorOf(makeTar([{ ...file("a"), patch }])).code).toBe("integrity");
  });

  test("a base-256 number beyond 53 bits and a negative size are refused", () => {
    for (const hex of ["80ffffffffffffffffffffff", "ffffffffffffffffffffffff"]) {
      const patch = (header: Buffer) => void header.write(hex, 124, "hex");
      expect(errorOf(makeTar([{ ...file("a"), patch }])).code).toBe("integrity");
    }
  });
});

describe("extended headers", () => {
  test("override the header for one entry", () => {
    const pax = {
      path: "long/".repeat(50),
      linkpath: "t".repeat(300),
      uid: "4294967295",
      gid: "70000",
      mtime: "1700000000.5",
      "SCHILY.xattr.user.\u00e9": Uint8Array.of(0, 10, 61, 255),
    };
    const [first, second] = read(
      makeTar([{ name: "x", type: "2", linkName: "y", pax }, file("z")]),
    );
    expect(first).toMatchObject({
      name: pax.path,
      linkName: pax.linkpath,
      uid: 2 ** 32 - 1,
      gid: 70_000,
      mtime_s: 1_700_000_000,
      mtime_ns: 500_000_000,
      xattrs: { "user.\u00c3\u00a9": "\0\n=\u00ff" },
    });
    expect(second).toMatchObject({ name: "z", uid: 0, mtime_s: 0, xattrs: {} });
  });

  test.each([
    ["-1", -1, 0],
    ["-0.5", -1, 500_000_000],
    ["-1.000000001", -2, 999_999_999],
    ["0.0000000019", 0, 1],
    ["12.", 12, 0],
  ])("the time %p", (mtime, mtime_s, mtime_ns) => {
    expect(readOne(file("a", "", { pax: { mtime } }))).toMatchObject({ mtime_s, mtime_ns });
  });

  test("the size is the record's", () => {
    const spec = file("a", "x".repeat(600), { size: 1, pax: { size: "600" } });
    expect(readOne(spec).content).toHaveLength(600);
  });

  test("a global header holds for all that follow, an own one wins, an empty value unsets", () => {
    const global = Buffer.concat([
      paxRecord("uid", "7"),
      paxRecord("comment", "c"),
      paxRecord("path", "no"),
    ]);
    const seen = read(
      makeTar([
        { name: "g", type: "g", content: global },
        file("a"),
        file("b", "", { pax: { uid: "8" } }),
        file("c", "", { uid: 9, pax: { path: "" } }),
      ]),
    );
    expect(seen.map(({ name, uid }) => [name, uid])).toEqual([
      ["a", 7],
      ["b", 8],
      ["c", 7],
    ]);
  });

  test.each(["5 a=b\n", "x", "3 a\n", "99 path=a\n", "0 a=b\n", "-1 a=b\n", "6 a=b\n7", "6a=bc\n"])(
    "%j is refused",
    (content) => {
      expect(errorOf(makeTar([{ name: "p", type: "x", content }, file("a")])).code).toBe(
        "integrity",
      );
    },
  );

  test.each([
    ["mtime", "soon"],
    ["uid", "1e3"],
    ["gid", "4294967296"],
    ["size", "-5"],
    ["size", "99999999999999999999"],
    ["path", "a\0b"],
    ["GNU.sparse.map", "1"],
  ])("the record %s=%j is refused", (key, value) => {
    expect(errorOf(makeTar([file("a", "", { pax: { [key]: value } })])).code).toBe("integrity");
  });

  test("GNU's long names come before the entry", () => {
    const long = "n".repeat(200);
    const meta = (type: string) => ({ name: "././@LongLink", type, content: `${long}${type}\0` });
    const [entry] = read(makeTar([meta("L"), meta("K"), { name: "n", type: "2", linkName: "k" }]));
    expect(entry).toMatchObject({ name: `${long}L`, linkName: `${long}K` });
  });

  test("names longer than 4096 bytes and headers longer than 1 MiB are refused", () => {
    const name = (count: number) => file("a", "", { pax: { path: "n/".repeat(count) } });
    expect(readOne(name(2048)).name).toHaveLength(4096);
    expect(errorOf(makeTar([name(2049)])).code).toBe("integrity");
    const huge = { name: "p", type: "x", size: 1024 * 1024 + 1 };
    expect(errorOf(makeTar([huge])).code).toBe("integrity");
  });
});

describe("kinds of entries", () => {
  test("a name in two parts, a v7 folder, a star prefix", () => {
    const prefix = (header: Buffer) => void header.write("some/where", 345);
    expect(readOne({ ...file("a"), patch: prefix }).name).toBe("some/where/a");
    const v7 = (header: Buffer) => void header.fill(0, 257, 265);
    expect(readOne({ name: "d/", type: "\0", patch: v7 }).type).toBe("directory");
    const star = (header: Buffer) => {
      header.write("p", 345);
      header.write("00000000123 ", 476);
      header.write("tar\0", 508, "latin1");
    };
    expect(readOne({ ...file("a"), patch: star }).name).toBe("p/a");
  });

  test("a size on what has no body says nothing; a dump directory and a label have bodies", () => {
    const types = ["1", "2", "3", "4", "5", "6"];
    const specs = types.map(
      (type): TarSpec => ({ name: `n${type}`, type, linkName: "x", size: 700 }),
    );
    const dump = { name: "dump", type: "D", content: "Ya\0\0" };
    const label = { name: "label", type: "V", content: "x" };
    const seen = read(makeTar([...specs, dump, label, file("last")]));
    expect(seen.map(({ name }) => name)).toEqual([
      ...types.map((type) => `n${type}`),
      "dump",
      "last",
    ]);
    expect(seen.every(({ type, size }) => type === "file" || size === 0)).toBe(true);
  });

  test("an unknown kind is named", () => {
    const error = errorOf(makeTar([{ name: "odd", type: "M" }]));
    expect(error).toMatchObject({ code: "unsupported", message: expect.stringContaining('"odd"') });
  });
});
