import { describe, expect, test } from "bun:test";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { filterBytes, unzstd } from "#base/decompress.ts";
import { BangerError } from "#base/error.ts";
import { which } from "#base/run.ts";
import { makeBzImage, makeElf, xenNote } from "#test/elf.ts";
import { bangerErrorOf } from "#test/expect-error.ts";
import { isBzImage, parseBzImage, unpackBzImage } from "./bzimage.ts";
import { elfArch, elfSection, hasPvhEntry } from "./elf.ts";
import { bannerVersion } from "./image.ts";

const banner = Buffer.from("\0Linux version %s\0Linux version 6.12.1-test (a@b) (gcc) #1\n\0");
const elf = makeElf({ sections: { ".rodata": banner }, notes: xenNote(18) });

function withSize(packed: Uint8Array): Buffer {
  const size = Buffer.alloc(4);
  size.writeUInt32LE(elf.length);
  return Buffer.concat([packed, size]);
}

describe("unpackBzImage", () => {
  test("unpacks what the runtime can: gzip, zstd, and no compression", async () => {
    for (const payload of [gzipSync(elf), withSize(Bun.zstdCompressSync(elf)), elf]) {
      expect(elf.equals(await unpackBzImage(makeBzImage(payload)))).toBe(true);
    }
  });

  for (const argv of [["xz", "--check=crc32"], ["xz", "--format=lzma"], ["bzip2"], ["lz4", "-l"]]) {
    const [program = ""] = argv;
    test.skipIf(!which(program))(`unpacks what \`${argv.join(" ")}\` packs`, async () => {
      const packed = await filterBytes([...argv, "-c"], elf, { max_bytes: 1e6 });
      expect(elf.equals(await unpackBzImage(makeBzImage(withSize(packed))))).toBe(true);
    });
  }

  test("refuses a payload that is cut, damaged, unknown, or no kernel", async () => {
    const packed = withSize(Bun.zstdCompressSync(elf));
    const cut = Buffer.concat([packed.subarray(0, packed.length - 20), packed.subarray(-4)]);
    const wrongSize = Buffer.concat([packed.subarray(0, -4), Buffer.from([1, 0, 0, 0])]);
    const noElf = withSize(Bun.zstdCompressSync(Buffer.alloc(elf.length)));
    for (const payload of [cut, wrongSize, noElf, Buffer.alloc(100), gzipSync(Buffer.alloc(9))]) {
      const error = await bangerErrorOf(unpackBzImage(makeBzImage(payload)));
      expect(error.code).toBe("integrity");
    }
    const short = makeBzImage(elf).subarray(0, 1500);
    expect((await bangerErrorOf(unpackBzImage(short))).message).toContain("truncated payload");
  });

  test("fails with our error, or not at all, on a mutated image", async () => {
    const image = makeBzImage(gzipSync(elf));
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(image.length - 1), fc.nat(255)), { maxLength: 5 }),
        async (changes) => {
          const copy = Buffer.from(image);
          for (const [at, value] of changes) copy[at] = value;
          const result = await unpackBzImage(copy).catch((error) => error);
          expect(result instanceof Uint8Array || result instanceof BangerError).toBe(true);
        },
      ),
    );
  });
});

test("parseBzImage reads the version", () => {
  expect(isBzImage(elf)).toBe(false);
  expect(parseBzImage(makeBzImage(elf)).version).toBe("6.12.1-test");
});

test("a bomb ends at the cap", async () => {
  const bomb = Bun.zstdCompressSync(Buffer.alloc(4_000_000));
  expect((await bangerErrorOf(unzstd(bomb, { max_bytes: 1e6 }))).code).toBe("limit_exceeded");
  const endless = filterBytes(["yes"], Buffer.alloc(0), { max_bytes: 1e6 });
  expect((await bangerErrorOf(endless)).code).toBe("limit_exceeded");
});

describe("ELF", () => {
  test("knows the machine", () => {
    expect(elfArch(elf, "vmlinux")).toBe("amd64");
    expect(elfArch(makeElf({ machine: 183 }), "vmlinux")).toBe("arm64");
    expect(() => elfArch(makeElf({ machine: 40 }), "vmlinux")).toThrow("ELF machine 40");
    expect(() => elfArch(Buffer.from("#!/bin/sh"), "vmlinux")).toThrow("not an ELF file");
    const narrow = Buffer.from(elf);
    narrow[4] = 1;
    expect(() => elfArch(narrow, "vmlinux")).toThrow("64-bit");
  });

  test("finds the direct entry among the notes", () => {
    expect(hasPvhEntry(elf)).toBe(true);
    expect(hasPvhEntry(makeElf({ notes: Buffer.concat([xenNote(6), xenNote(18)]) }))).toBe(true);
    expect(hasPvhEntry(makeElf({ notes: xenNote(6) }))).toBe(false);
    expect(hasPvhEntry(makeElf())).toBe(false);
  });

  test("finds the version, not the text that it is printed with", () => {
    expect(bannerVersion(elf)).toBe("6.12.1-test");
    expect(bannerVersion(makeElf())).toBeUndefined();
  });

  test("survives any bytes", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(elf.length - 1), fc.nat(255)), { maxLength: 8 }),
        fc.nat(elf.length),
        (changes, length) => {
          const copy = Buffer.from(elf.subarray(0, length));
          for (const [at, value] of changes) if (at < length) copy[at] = value;
          elfSection(copy, ".rodata");
          hasPvhEntry(copy);
          bannerVersion(copy);
        },
      ),
    );
  });
});
