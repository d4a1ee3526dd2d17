import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { makeElf, makeModule } from "#test/elf.ts";
import { bangerErrorOf } from "#test/expect-error.ts";
import { loadOrder, moduleName, openModuleTree, parseModuleInfo, readModule } from "./modules.ts";

let root: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "banger-modules-"));
});

afterEach(() => rmSync(root, { recursive: true, force: true }));

function put(path: string, data: Uint8Array): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), data);
}

test("parseModuleInfo reads what a module needs", () => {
  const module = makeModule(
    "license=GPL",
    "alias=crypto-x",
    "depends=nf-tables,libcrc32c",
    "softdep=pre: a-b c post: d",
    "softdep=post: e",
    "vermagic=6.12 depends=x",
  );
  expect(parseModuleInfo(module)).toEqual({
    depends: ["nf_tables", "libcrc32c"],
    softDepends: ["a_b", "c"],
    softdeps: ["pre: a-b c post: d", "post: e"],
    aliases: ["crypto-x"],
  });
  expect(parseModuleInfo(makeModule("depends="))).toEqual({
    depends: [],
    softDepends: [],
    softdeps: [],
    aliases: [],
  });
  expect(() => parseModuleInfo(makeElf())).toThrow("no .modinfo");
  expect(() => parseModuleInfo(Buffer.from("x"))).toThrow("no .modinfo");
});

test("moduleName takes dashes and underscores for the same", () => {
  expect(moduleName("kernel/drivers/char/hw_random/virtio-rng.ko.xz")).toBe("virtio_rng");
  expect(moduleName("xt_MASQUERADE.ko")).toBe("xt_MASQUERADE");
});

describe("loadOrder", () => {
  beforeEach(() => {
    put("modules.builtin", Buffer.from("kernel/lib/inside.ko\nkernel/net/b-in.ko\n"));
    put("kernel/a/net.ko", makeModule("depends=mid,inside"));
    put("kernel/b/mid.ko.gz", gzipSync(makeModule("depends=low-level,b_in", "softdep=pre: soft")));
    put("kernel/c/low_level.ko.zst", Bun.zstdCompressSync(makeModule("depends=")));
    put("kernel/c/soft.ko", makeModule("depends="));
    put("kernel/c/broken.ko", makeModule("depends=nowhere"));
    put("kernel/c/ring1.ko", makeModule("depends=ring2"));
    put("kernel/c/ring2.ko", makeModule("depends=ring1"));
    put("kernel/c/readme.txt", Buffer.from("x"));
    symlinkSync("/etc/passwd", join(root, "kernel/c/link.ko"));
  });

  test("puts each after what it needs, and leaves out what is built in", async () => {
    const tree = openModuleTree(root);
    expect(tree.files.has("link")).toBe(false);
    const missing: string[] = [];
    const onMissing = (name: string): void => void missing.push(name);
    const order = await loadOrder(tree, ["soft", "net", "inside", "gone"], { onMissing });
    expect(order).toEqual(["soft", "low_level", "mid", "net"]);
    expect(missing).toEqual(["gone"]);
  });

  test.each(["modules.alias", "the modules themselves"])(
    "a soft dependency may be an alias, from %s",
    async (from) => {
      put("kernel/d/ext4.ko.gz", gzipSync(makeModule("softdep=pre: crc32c", "depends=mid")));
      put("kernel/d/crc32c_generic.ko", makeModule("alias=crypto-crc32c", "alias=crc32c"));
      put("kernel/d/crc32c-intel.ko.zst", Bun.zstdCompressSync(makeModule("alias=crc32c")));
      if (from === "modules.alias") {
        put(from, Buffer.from("alias crc32c crc32c_intel\nalias crc32c crc32c_generic\n"));
        put("kernel/d/other.ko", makeModule("alias=crc32c"));
      }
      const order = await loadOrder(openModuleTree(root), ["ext4"]);
      expect(order.slice(0, 3)).toEqual(["low_level", "soft", "mid"]);
      expect(order.slice(3, 5).sort()).toEqual(["crc32c_generic", "crc32c_intel"]);
      expect(order.slice(5)).toEqual(["ext4"]);
    },
  );

  test("a ring ends, and a hole is named", async () => {
    const tree = openModuleTree(root);
    expect((await loadOrder(tree, ["ring1"])).sort()).toEqual(["ring1", "ring2"]);
    const error = await bangerErrorOf(loadOrder(tree, ["broken"]));
    expect([error.code, error.message]).toEqual([
      "integrity",
      'Cannot use module "broken": missing dependency "nowhere"',
    ]);
  });

  test("can be cancelled", async () => {
    const work = loadOrder(openModuleTree(root), ["net"], { signal: AbortSignal.abort() });
    expect((await bangerErrorOf(work)).code).toBe("cancelled");
  });
});

test("a tree that does not exist has no modules", async () => {
  const tree = openModuleTree(join(root, "none"));
  expect([tree.files.size, tree.builtin.size]).toEqual([0, 0]);
  expect(await loadOrder(tree, ["virtio_blk"])).toEqual([]);
});

test("readModule refuses a damaged file", async () => {
  put("kernel/x.ko.zst", Buffer.from("no zstd at all"));
  expect((await bangerErrorOf(readModule(join(root, "kernel/x.ko.zst")))).code).toBe("integrity");
});
