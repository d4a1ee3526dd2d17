import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { zstdCompressSync, zstdDecompressSync } from "node:zlib";
import fc from "fast-check";
import { BangerError } from "#base/error.ts";
import { walk } from "#base/files/walk.ts";
import { bangerErrorOf } from "#test/expect-error.ts";
import { LIMIT_MS } from "#test/limit.ts";
import { dir, file, hardLink, makeTar, symlink, type TarSpec } from "#test/tar-build.ts";
import { packBundle } from "./pack.ts";
import { unpackArchive } from "./unpack.ts";

// For a run of several files, of which only the first has the default of its own.
setDefaultTimeout(LIMIT_MS);

let top: string;
let folder: string;

beforeEach(() => {
  top = mkdtempSync(join(tmpdir(), "banger-unpack-"));
  folder = join(top, "inside");
  mkdirSync(folder);
});

afterEach(() => rmSync(top, { recursive: true, force: true }));

async function unpack(
  archive: Uint8Array,
  options: { step?: number; unpacked_bytes?: number; signal?: AbortSignal; into?: string } = {},
): Promise<void> {
  const { step = 65_536, into = folder, ...rest } = options;
  async function* chunks(): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < archive.length; at += step) yield archive.subarray(at, at + step);
  }
  await unpackArchive(chunks(), into, { size_bytes: archive.length, ...rest });
}

const packed = (specs: readonly TarSpec[]): Buffer => zstdCompressSync(makeTar(specs));
const big = Buffer.alloc(300_000, "kernel ");
/** Zeros from within a block to within another. */
const holey = Buffer.concat([Buffer.alloc(5000, "a"), Buffer.alloc(40_000), Buffer.alloc(99, "b")]);

/** Each is refused, and the error names the entry that is the cause. */
const hostile: Record<string, { specs: TarSpec[]; name: string; why: RegExp }> = {
  "an absolute path": { specs: [file("/etc/passwd")], name: "/etc/passwd", why: /absolute/ },
  "a path with ..": { specs: [dir("a"), file("a/../../x")], name: "a/../../x", why: /"\.\." in/ },
  "a path of .. only": { specs: [dir("..")], name: "../", why: /"\.\." in/ },
  "a path with . inside": { specs: [file("a/./b")], name: "a/./b", why: /not plain/ },
  "an empty part": { specs: [file("a//b")], name: "a//b", why: /not plain/ },
  "the root as a file": { specs: [file("./")], name: "./", why: /the root directory/ },
  "a character device": {
    specs: [{ name: "null", type: "3", major: 1, minor: 3 }],
    name: "null",
    why: /device/,
  },
  "a block device": {
    specs: [{ name: "sda", type: "4", major: 8, minor: 0 }],
    name: "sda",
    why: /device/,
  },
  "a fifo": { specs: [{ name: "pipe", type: "6" }], name: "pipe", why: /named pipe/ },
  "a setuid file": { specs: [file("su", "x", { mode: 0o4755 })], name: "su", why: /set-user-ID/ },
  "a setgid folder": { specs: [dir("d", { mode: 0o2755 })], name: "d/", why: /set-group-ID/ },
  "a sticky file": { specs: [file("s", "x", { mode: 0o1644 })], name: "s", why: /sticky/ },
  "a capability": {
    specs: [file("cap", "x", { pax: { "SCHILY.xattr.security.capability": "x" } })],
    name: "cap",
    why: /security attributes/,
  },
  "an absolute symlink": { specs: [symlink("l", "/etc")], name: "l", why: /leaves the archive/ },
  "a symlink that climbs": {
    specs: [dir("d"), symlink("d/l", "../../x")],
    name: "d/l",
    why: /leaves the archive/,
  },
  "a symlink that climbs through another": {
    specs: [dir("d"), dir("d/e"), symlink("s", "."), symlink("d/l", "../s/../../x")],
    name: "d/l",
    why: /leaves the archive/,
  },
  "an empty symlink": { specs: [symlink("l", "")], name: "l", why: /leaves the archive/ },
  "a hard link to the outside": { specs: [hardLink("h", "../x")], name: "h", why: /"\.\." in/ },
  "an absolute hard link": { specs: [hardLink("h", "/etc/passwd")], name: "h", why: /absolute/ },
  "a hard link to nothing": { specs: [hardLink("h", "x")], name: "h", why: /not an earlier file/ },
  "a hard link to a symlink": {
    specs: [symlink("s", "x"), hardLink("h", "s")],
    name: "h",
    why: /not an earlier file/,
  },
  "a file through a symlinked folder": {
    specs: [dir("d"), symlink("l", "d"), file("l/x")],
    name: "l/x",
    why: /symbolic link "l"/,
  },
  "a file below a file": { specs: [file("a"), file("a/b")], name: "a/b", why: /"a" is a file/ },
  "a name twice": { specs: [file("a"), file("a")], name: "a", why: /duplicate/ },
  "a folder twice": { specs: [dir("a"), dir("a")], name: "a/", why: /duplicate/ },
  "a symlink over a folder": { specs: [dir("a"), symlink("a", "b")], name: "a", why: /duplicate/ },
  "a file over an implied folder": { specs: [file("a/b"), file("a")], name: "a", why: /duplicate/ },
  "names that differ in case": {
    specs: [file("Readme"), file("README")],
    name: "README",
    why: /only in case/,
  },
  "folders that differ in case": {
    specs: [file("Boot/a"), file("boot/b")],
    name: "boot/b",
    why: /only in case/,
  },
  "a name with a line break": { specs: [file("a\nb")], name: "a\\nb", why: /valid UTF-8/ },
  "a name that is no text": {
    specs: [file("x", "x", { name: Buffer.from([0x61, 0xff]) })],
    name: "a\ufffd",
    why: /valid UTF-8/,
  },
  "a name that is too long": {
    specs: [file("x", "x", { pax: { path: "x".repeat(256) } })],
    name: "x".repeat(200),
    why: /255 bytes/,
  },
};

describe("an archive of the catalog", () => {
  test("comes out as it is, in chunks of any size", async () => {
    const specs = [
      dir("./"),
      file("vmlinux", big),
      file("./manifest.json", "{}"),
      file("boot/a.ko", "a"),
      dir("modules"),
      symlink("modules/link", "../boot/a.ko"),
      hardLink("copy", "vmlinux"),
      file("empty", ""),
      file("holey", holey),
    ];
    for (const step of [1, 7, 512, 100_000]) {
      const into = join(top, `s${step}`);
      mkdirSync(into);
      await unpack(packed(specs), { step, into });
      expect(readdirSync(into, { recursive: true, encoding: "utf8" }).sort()).toEqual([
        "boot",
        "boot/a.ko",
        "copy",
        "empty",
        "holey",
        "manifest.json",
        "modules",
        "modules/link",
        "vmlinux",
      ]);
      expect(readFileSync(join(into, "vmlinux")).equals(big)).toBe(true);
      expect(readFileSync(join(into, "holey")).equals(holey)).toBe(true);
      expect(readFileSync(join(into, "modules/link"), "utf8")).toBe("a");
      expect(lstatSync(join(into, "vmlinux")).mode & 0o7777).toBe(0o644);
    }
  });

  for (const [title, { specs, name, why }] of Object.entries(hostile)) {
    test(`is refused for ${title}`, async () => {
      const before = file("vmlinux", big);
      const error = await bangerErrorOf(unpack(packed([before, ...specs])));
      expect(error.code).toBe("integrity");
      expect(error.message).toContain(`"${name}`);
      expect(error.message).toMatch(why);
      expect(readdirSync(top)).toEqual(["inside"]);
    });
  }

  test("may hold the modules of Linux whose names differ in case only", async () => {
    const names = ["modules/6.12/kernel/xt_mark.ko.xz", "modules/6.12/kernel/xt_MARK.ko.xz"];
    await unpack(packed(names.map((name) => file(name))));
    for (const name of names) expect(readFileSync(join(folder, name), "utf8")).toBe(name);
  });

  test("is refused when it is a bomb, by what the catalog says or by its own size", async () => {
    const bomb = packed([file("zeros", Buffer.alloc(100 << 20))]);
    const promised = await bangerErrorOf(unpack(bomb, { unpacked_bytes: 1 << 20 }));
    expect([promised.code, promised.message]).toEqual([
      "limit_exceeded",
      expect.stringContaining('"zeros": larger than the limit of 1.0 MiB'),
    ]);
    expect((await bangerErrorOf(unpack(bomb))).code).toBe("limit_exceeded");
    const lying = makeTar([file("a", "abc", { size: 2 ** 33 - 1 })], false);
    const huge = await bangerErrorOf(unpack(zstdCompressSync(lying)));
    expect([huge.code, huge.message]).toEqual(["limit_exceeded", expect.stringContaining('"a"')]);
    const many = Array.from({ length: 20_001 }, (_, index) => file(`f${index}`, ""));
    expect((await bangerErrorOf(unpack(packed(many)))).code).toBe("limit_exceeded");
  });

  test("is refused with anything behind its end", async () => {
    const tar = makeTar([file("a")]);
    const behind = {
      "in the archive": zstdCompressSync(Buffer.concat([tar, Buffer.from("more")])),
      "a second archive": zstdCompressSync(Buffer.concat([tar, makeTar([file("b")])])),
      "after the frame": Buffer.concat([zstdCompressSync(tar), Buffer.from("more")]),
      "a second frame": Buffer.concat([zstdCompressSync(tar), zstdCompressSync(tar)]),
    };
    for (const [title, archive] of Object.entries(behind)) {
      const folderOf = join(top, title.replaceAll(" ", "-"));
      mkdirSync(folderOf);
      const error = await bangerErrorOf(unpack(archive, { into: folderOf }));
      expect([error.code, error.message]).toEqual(["integrity", expect.stringMatching(/trailing/)]);
    }
    const padded = zstdCompressSync(Buffer.concat([tar, Buffer.alloc(8192)]));
    await unpack(padded);
  });

  test("is refused when it is cut, or is none", async () => {
    const tar = makeTar([file("a", big)]);
    const whole = zstdCompressSync(tar);
    const cuts = [whole.subarray(0, -3), whole.subarray(0, 20), Buffer.alloc(0)];
    const halves = [
      tar.subarray(0, 1000),
      tar.subarray(0, tar.length - 1024),
      tar.subarray(0, 100),
    ].map((half) => zstdCompressSync(half));
    const others = [Buffer.from("no zstd at all, but a text"), zstdCompressSync(big)];
    for (const [index, archive] of [...cuts, ...halves, ...others].entries()) {
      const into = join(top, String(index));
      mkdirSync(into);
      expect((await bangerErrorOf(unpack(archive, { into }))).code).toBe("integrity");
    }
  });

  test("is refused with holes in a file", async () => {
    const pax = {
      "GNU.sparse.major": "1",
      "GNU.sparse.minor": "0",
      "GNU.sparse.name": "holes",
      "GNU.sparse.realsize": "100000",
    };
    for (const map of ["1\n4096\n4\n", "1\n0\n4\n"]) {
      const content = Buffer.concat([Buffer.from(map.padEnd(512, "\0")), Buffer.from("data")]);
      const into = mkdtempSync(join(top, "holes-"));
      const error = await bangerErrorOf(unpack(packed([file("x", content, { pax })]), { into }));
      expect([error.code, error.message]).toEqual(["integrity", expect.stringMatching(/holes/)]);
    }
  });

  test("stops when nobody waits for it any more", async () => {
    const abort = new AbortController();
    abort.abort();
    const error = await bangerErrorOf(unpack(packed([file("a")]), { signal: abort.signal }));
    expect(error.code).toBe("cancelled");
  });

  test("never leads outside, whatever its bytes, and only ends with our errors", async () => {
    const seeds = Object.values(hostile).map(({ specs }) => makeTar([file("a"), ...specs]));
    seeds.push(makeTar([dir("d"), file("d/x", big.subarray(0, 3000)), symlink("l", "d/x")]));
    const edit = fc.record({ at: fc.nat(6000), byte: fc.nat(255) });
    const mutation = fc.record({
      seed: fc.nat(seeds.length - 1),
      edits: fc.array(edit, { maxLength: 6 }),
      isHeaderMended: fc.boolean(),
      isCompressedEdited: fc.boolean(),
    });
    let count = 0;
    await fc.assert(
      fc.asyncProperty(mutation, async ({ seed, edits, isHeaderMended, isCompressedEdited }) => {
        let archive: Buffer;
        const original = seeds[seed] ?? Buffer.alloc(0);
        if (isCompressedEdited) {
          archive = applied(zstdCompressSync(original), edits);
        } else {
          const tar = applied(original, edits);
          if (isHeaderMended) mendChecksums(tar);
          archive = zstdCompressSync(tar);
        }
        const into = join(top, `m${count++}`);
        mkdirSync(into);
        try {
          const failure = await unpack(archive, { into, step: 1000 }).catch((error) => error);
          if (failure !== undefined) {
            expect(failure).toBeInstanceOf(BangerError);
            expect(failure.code).not.toBe("internal");
          }
          expect(readdirSync(top).sort()).toEqual(["inside", basename(into)]);
          for (const { path } of walk(into)) {
            const found = lstatSync(join(into, path));
            expect(found.isFile() || found.isDirectory() || found.isSymbolicLink()).toBe(true);
            expect(found.mode & 0o7000).toBe(0);
          }
        } finally {
          rmSync(into, { recursive: true });
        }
      }),
      { numRuns: 400 },
    );
  });
});

test("what is packed unpacks to the same, and twice gives the same bytes", async () => {
  const source = join(top, "bundle");
  mkdirSync(join(source, "boot"), { recursive: true });
  await Bun.write(join(source, "vmlinux"), big);
  await Bun.write(join(source, "boot/a.ko"), "a");
  const manifest = {
    schema: 1 as const,
    name: "x-6.12",
    distro: "x",
    arch: "amd64" as const,
    version: "6.12.1",
    format: "elf" as const,
    sha256: `sha256:${"0".repeat(64)}` as never,
    source: { kind: "import" as const, from: "/home/somebody/secret" },
    importedAt: "2026-01-02T03:04:05.000Z",
    features: [],
    modules: [],
    initrd: false,
    size_bytes: 5,
  };
  const later = { ...manifest, importedAt: "2027-01-02T03:04:05.000Z", size_bytes: 9 };
  const one = await packBundle({ path: source, manifest }, join(top, "1"));
  const two = await packBundle({ path: source, manifest: later }, join(top, "2"));
  expect(two).toEqual(one);
  const archive = readFileSync(join(top, "1"));
  expect(archive.length).toBe(one.size_bytes);
  expect(zstdDecompressSync(archive).includes("/home/somebody")).toBe(false);
  await unpack(archive, { unpacked_bytes: one.unpacked_bytes });
  expect(readFileSync(join(folder, "vmlinux")).equals(big)).toBe(true);
  expect(readFileSync(join(folder, "boot/a.ko"), "utf8")).toBe("a");
});

function applied(bytes: Uint8Array, edits: readonly { at: number; byte: number }[]): Buffer {
  const copy = Buffer.from(bytes);
  for (const { at, byte } of edits) if (copy.length > 0) copy[at % copy.length] = byte;
  return copy;
}

/** So that a changed header is looked at and not only its checksum. */
function mendChecksums(tar: Buffer): void {
  for (let at = 0; at + 512 <= tar.length; at += 512) {
    const header = tar.subarray(at, at + 512);
    if (header.toString("latin1", 257, 262) !== "ustar") continue;
    header.fill(0x20, 148, 156);
    const sum = header.reduce((total, byte) => total + byte, 0);
    header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  }
}
