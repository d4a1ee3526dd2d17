import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { sha256 } from "#base/digest.ts";
import { exchange } from "#base/files/exchange.ts";
import { writeSparse } from "#base/files/sparse.ts";
import { buildCpio } from "#guest/initrd.ts";
import { makeBzImage, makeElf, xenNote } from "#test/elf.ts";
import { bangerErrorOf } from "#test/expect-error.ts";
import { LIMIT_MS } from "#test/limit.ts";
import { listBundles, placeBundle, readBundle, removeBundle, sweepStaging } from "./bundle.ts";
import { importKernel } from "./import.ts";
import type { Manifest } from "./manifest.ts";
import { KernelService } from "./service.ts";

// For a run of several files, of which only the first has the default of its own.
setDefaultTimeout(LIMIT_MS);

let folder: string;
let dir: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "banger-bundle-"));
  dir = join(folder, "kernels");
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

const manifest: Manifest = {
  schema: 1,
  name: "local-6.12",
  distro: "local",
  arch: "amd64",
  version: "6.12.1",
  format: "elf",
  sha256: sha256("kernel"),
  source: { kind: "import", from: "/x" },
  importedAt: "2026-01-02T03:04:05.000Z",
  features: [{ name: "ext4", kind: "built-in" }],
  modules: [{ name: "virtio_blk", file: "boot/virtio_blk.ko" }],
  initrd: false,
  size_bytes: 5,
};

async function place(name: string, text = "kernel"): Promise<void> {
  await placeBundle(dir, name, async (staging) => {
    writeFileSync(join(staging, "vmlinux"), text);
    return { ...manifest, name };
  });
}

describe("bundles", () => {
  test("appear whole, are replaced whole, and go", async () => {
    await place("local-6.12");
    await place("local-6.1");
    await place("local-6.12", "newer");
    expect(listBundles(dir).map((bundle) => bundle.manifest.name)).toEqual([
      "local-6.1",
      "local-6.12",
    ]);
    expect(readFileSync(join(dir, "local-6.12", "vmlinux"), "utf8")).toBe("newer");
    await removeBundle(dir, "local-6.1");
    expect(readdirSync(dir)).toEqual(["local-6.12"]);
    expect((await bangerErrorOf(removeBundle(dir, "local-6.1"))).code).toBe("not_found");
  });

  test("a failure leaves what was there", async () => {
    await place("local-6.12");
    const failing = placeBundle(dir, "local-6.12", async (staging) => {
      writeFileSync(join(staging, "vmlinux"), "half");
      throw new Error("no");
    });
    expect(failing).rejects.toThrow("no");
    await failing.catch(() => {});
    expect(readFileSync(join(dir, "local-6.12", "vmlinux"), "utf8")).toBe("kernel");
    expect(readdirSync(dir)).toEqual(["local-6.12"]);
  });

  test("what a killed process left is no bundle, and is swept", async () => {
    await place("local-6.12");
    mkdirSync(join(dir, ".staging-local-6.1-0011"));
    mkdirSync(join(dir, "empty-1.0"));
    expect(listBundles(dir)).toHaveLength(1);
    await sweepStaging(dir);
    expect(readdirSync(dir).sort()).toEqual(["empty-1.0", "local-6.12"]);
  });

  test("names that lead elsewhere are refused, and damage is told", async () => {
    for (const name of ["..", "a/b", "/etc", "", ".x", "x".repeat(64), "A", "a\0b"]) {
      expect(() => readBundle(dir, name)).toThrow("no such kernel");
      await expect(removeBundle(dir, name)).rejects.toThrow("no such kernel");
      await expect(place(name)).rejects.toThrow("invalid kernel name");
    }
    await place("local-6.12");
    for (const text of ["{", '{"schema":2}', JSON.stringify({ ...manifest, sha256: "x" })]) {
      writeFileSync(join(dir, "local-6.12", "manifest.json"), text);
      expect(() => readBundle(dir, "local-6.12")).toThrow("corrupt");
    }
    const escaping = { ...manifest, modules: [{ name: "a", file: "../../a.ko" }] };
    writeFileSync(join(dir, "local-6.12", "manifest.json"), JSON.stringify(escaping));
    expect(() => readBundle(dir, "local-6.12")).toThrow("corrupt");
  });

  test("a kernel that a power cut has shortened is noticed", async () => {
    await place("local-6.12");
    expect(readBundle(dir, "local-6.12").manifest.kernel_bytes).toBe("kernel".length);
    truncateSync(join(dir, "local-6.12", "vmlinux"), 0);
    expect(() => readBundle(dir, "local-6.12")).toThrow("corrupt");
  });

  test("two folders change places", () => {
    for (const name of ["a", "b"]) {
      mkdirSync(join(folder, name));
      writeFileSync(join(folder, name, name), "");
    }
    exchange(join(folder, "a"), join(folder, "b"));
    expect(readdirSync(join(folder, "a"))).toEqual(["b"]);
    expect(readdirSync(join(folder, "b"))).toEqual(["a"]);
    expect(readdirSync(folder).sort()).toEqual(["a", "b"]);
  });
});

describe("the service", () => {
  test("says what to do about a kernel that is not here", async () => {
    const service = new KernelService({ dir, downloads: join(folder, "downloads") });
    const hintOf = async (name: string) => (await bangerErrorOf(service.show(name))).hint;
    expect(await hintOf("debian-6.12")).toBe("banger kernel pull debian-6.12");
    expect(await hintOf("debian-6.13")).toContain('Did you mean "debian-6.1');
    expect(await hintOf("zzzzzzzz")).toBe(
      "List available kernels with: banger kernel list --available",
    );
    expect((await bangerErrorOf(service.remove("debian-6.12"))).code).toBe("not_found");
    expect((await bangerErrorOf(service.pull("../x"))).code).toBe("not_found");
    const refused = await bangerErrorOf(service.pull("minimal-6.12", { noBuild: true }));
    expect([refused.code, refused.hint]).toEqual([
      "unsupported",
      "banger kernel build minimal-6.12",
    ]);
    expect(await service.list()).toEqual([]);
    expect((await service.available()).every((entry) => !entry.pulled)).toBe(true);
    expect(await hintOf("generic-6.12")).toBe("banger kernel build generic-6.12");
  });

  test("imports an ELF file, and a bzImage by the ELF file inside it", async () => {
    const service = new KernelService({ dir, downloads: join(folder, "downloads") });
    const banner = Buffer.from("Linux version 6.9.3-mine (a@b) (gcc) #1\n");
    const elf = makeElf({ sections: { ".rodata": banner }, notes: xenNote(18) });
    const from = join(folder, "from");
    mkdirSync(from);
    expect((await bangerErrorOf(service.import({ from }))).code).toBe("not_found");
    writeFileSync(join(from, "bzImage"), makeBzImage(elf));
    const initrd = buildCpio([{ path: "etc/x", data: Buffer.from("x") }]);
    writeFileSync(join(from, "initrd.img"), initrd);
    writeFileSync(
      join(from, "config"),
      "CONFIG_EXT4_FS=y\nCONFIG_OVERLAY_FS=m\n# CONFIG_XFS_FS is not set\n",
    );
    const kernel = await service.import({ from });
    expect(kernel).toMatchObject({
      name: "local-6.9",
      version: "6.9.3-mine",
      arch: "amd64",
      digest: sha256(elf),
      features: ["ext4", "overlay"],
      source: `import: ${from}`,
    });
    expect(readFileSync(join(kernel.path, "vmlinux")).equals(elf)).toBe(true);
    expect(readFileSync(join(kernel.path, "initrd.img")).equals(initrd)).toBe(true);
    const boot = await service.boot("local-6.9");
    expect([boot.modules, boot.initrd]).toEqual([[], join(kernel.path, "initrd.img")]);
    expect(service.defaultName()).toBeUndefined();
    await service.setDefault("local-6.9");
    expect(service.defaultName()).toBe("local-6.9");

    writeFileSync(join(from, "vmlinuz-2"), makeBzImage(elf));
    const several = await bangerErrorOf(importKernel({ dir, from, name: "x" }));
    expect(several.message).toContain("more than one candidate: bzImage, vmlinuz-2");
    const noPvh = makeElf({ sections: { ".rodata": banner } });
    writeFileSync(join(from, "bzImage"), makeBzImage(noPvh));
    const kept = await service.import({ from: join(from, "bzImage"), name: "kept-6.9" });
    expect(readdirSync(kept.path)).toContain("vmlinuz");
    for (const [name, bytes] of [
      ["script", Buffer.from("#!/bin/sh\n")],
      ["program", makeElf()],
      ["other", makeElf({ machine: 8, sections: { a: banner } })],
    ] as const) {
      writeFileSync(join(from, name), bytes);
      const error = await bangerErrorOf(service.import({ from: join(from, name), name: "no" }));
      expect(error.code).toBe("integrity");
    }
    expect(readdirSync(dir).sort()).toEqual([".config", "kept-6.9", "local-6.9"]);
    await service.remove("kept-6.9");
    expect(service.defaultName()).toBe("local-6.9");
    await service.remove("local-6.9");
    expect(service.defaultName()).toBeUndefined();
  });

  test("one kernel is changed by one command at a time", async () => {
    const service = new KernelService({ dir, downloads: join(folder, "downloads") });
    await place("local-6.12");
    const both = await Promise.allSettled([
      service.remove("local-6.12"),
      service.remove("local-6.12"),
    ]);
    expect(both.map(({ status }) => status)).toEqual(["fulfilled", "rejected"]);
  });
});

test("sparse files read as what was written", () => {
  let count = 0;
  const block = fc.record({ zero: fc.boolean(), length: fc.integer({ min: 1, max: 9000 }) });
  fc.assert(
    fc.property(fc.array(block, { maxLength: 8 }), (blocks) => {
      const parts = blocks.map(({ zero, length }) => Buffer.alloc(length, zero ? 0 : 7));
      const bytes = Buffer.concat(parts);
      const path = join(folder, `s${count++}`);
      writeSparse(path, bytes);
      expect(readFileSync(path).equals(bytes)).toBe(true);
    }),
  );
  const path = join(folder, "holes");
  writeSparse(path, new Uint8Array(1 << 20));
  expect(statSync(path).blocks).toBe(0);
});
