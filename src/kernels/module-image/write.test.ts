import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { openExt4 } from "#ext4/read/reader.ts";
import { makeModule } from "#test/elf.ts";
import { bangerErrorOf } from "#test/expect-error.ts";
import { moduleImageId, writeModuleImage } from "./write.ts";

let folder: string;
let root: string;
let image: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "banger-module-image-"));
  root = join(folder, "6.12.1");
  image = join(folder, "modules.ext4");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function put(path: string, data: string | Uint8Array): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), data);
}

function fill(): void {
  const tun = makeModule("alias=devname:net/tun", "alias=char-major-10-200", "depends=");
  put("kernel/drivers/net/tun.ko.gz", gzipSync(tun));
  put("kernel/fs/a-b.ko", makeModule("alias=fs-a[a-z]", "depends=mid", "softdep=pre: c post: d"));
  put("kernel/lib/mid.ko.zst", Bun.zstdCompressSync(makeModule("depends=low,tun")));
  put("kernel/lib/low.ko", makeModule("depends="));
  put("kernel/arch/x86/kvm/kvm-amd.ko", makeModule("depends="));
  put("modules.order", "kernel/lib/low.ko\nkernel/fs/a-b.ko\n");
  put("modules.builtin", "kernel/net/in-side.ko\n");
  put("modules.builtin.modinfo", "in_side.alias=net-pf-9\0in_side.license=GPL\0");
}

test("an image has the modules uncompressed, with what modprobe reads", async () => {
  fill();
  expect(await writeModuleImage(root, image)).toBe(true);
  using reader = openExt4(image);
  const text = (name: string): string => Buffer.from(reader.readFile(name, 1e6)).toString("latin1");
  for (const path of ["drivers/net/tun.ko", "fs/a-b.ko", "lib/mid.ko", "lib/low.ko"]) {
    expect(text(`/kernel/${path}`)).toStartWith("\x7fELF");
  }
  expect(text("/modules.dep").split("\n").slice(0, -1)).toEqual([
    "kernel/lib/low.ko:",
    "kernel/fs/a-b.ko: kernel/lib/mid.ko kernel/drivers/net/tun.ko kernel/lib/low.ko",
    "kernel/arch/x86/kvm/kvm-amd.ko:",
    "kernel/lib/mid.ko: kernel/drivers/net/tun.ko kernel/lib/low.ko",
    "kernel/drivers/net/tun.ko:",
  ]);
  expect(text("/modules.alias")).toContain("alias fs-a[a-z] a_b\n");
  expect(text("/modules.softdep")).toBe("softdep a_b pre: c post: d\n");
  expect(text("/nodes")).toBe("kvm_amd kvm c10:232\ntun net/tun c10:200\n");
  expect(text("/modules.alias")).toContain("alias char-major-10-232 kvm_amd\n");
  expect(text("/modules.builtin")).toBe("kernel/net/in-side.ko\n");
  expect(text("/modules.alias.bin")).toContain("a_b");
  expect(text("/modules.builtin.bin")).toContain("in_side");
  expect(text("/modules.builtin.alias.bin")).toContain("net_pf_9");
});

test("the same modules are the same image, and others another one", async () => {
  fill();
  await writeModuleImage(root, image);
  const [bytes, id] = [readFileSync(image), moduleImageId(image)];
  await writeModuleImage(root, image);
  expect(readFileSync(image).equals(bytes)).toBe(true);
  put("kernel/lib/low.ko", makeModule("depends=", "version=2"));
  await writeModuleImage(root, image);
  expect(moduleImageId(image)).not.toBe(id);
});

test("a file that is no module has no index", async () => {
  put("kernel/fs/x.ko", "no module");
  expect(await writeModuleImage(root, image)).toBe(true);
  using reader = openExt4(image);
  expect(reader.stat("/kernel/fs/x.ko").size).toBe(9);
  expect(reader.readFile("/modules.dep", 100).length).toBe(0);
});

test("no modules, a damaged one, and a cancelled write leave no image", async () => {
  mkdirSync(root);
  expect(await writeModuleImage(root, image)).toBe(false);
  fill();
  const signal = AbortSignal.abort();
  expect((await bangerErrorOf(writeModuleImage(root, image, { signal }))).code).toBe("cancelled");
  put("kernel/lib/mid.ko.zst", "no zstd");
  expect((await bangerErrorOf(writeModuleImage(root, image))).code).toBe("integrity");
  expect(readdirSync(folder)).toEqual(["6.12.1"]);
});
