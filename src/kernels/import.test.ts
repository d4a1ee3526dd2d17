import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { sha256 } from "#base/digest.ts";
import { buildCpio } from "#guest/initrd.ts";
import { makeBzImage, makeModule } from "#test/elf.ts";
import { bangerErrorOf } from "#test/expect-error.ts";
import { kernelBytes, writeKernelFolder } from "#test/kernel-fixture.ts";
import { type ImportOptions, importKernel } from "./import.ts";

let folder: string;
let dir: string;
let from: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "banger-import-"));
  dir = join(folder, "kernels");
  from = join(folder, "from");
  mkdirSync(from);
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

function put(name: string, content: string | Uint8Array): void {
  mkdirSync(join(from, name, ".."), { recursive: true });
  writeFileSync(join(from, name), content);
}

const run = async (options: Partial<ImportOptions> = {}) =>
  (await importKernel({ dir, from, ...options })).manifest;

test("a distribution is taken as given, an architecture is checked", async () => {
  put("vmlinux-6.12.1-fixture", kernelBytes());
  const named = { name: "generic-6.12", distro: "mine", arch: "amd64" } as const;
  expect(await run(named)).toMatchObject({ name: "generic-6.12", distro: "mine", arch: "amd64" });
  const error = await bangerErrorOf(run({ name: "other-6.12", arch: "arm64" }));
  expect([error.code, error.message]).toEqual([
    "invalid_argument",
    expect.stringContaining("architecture is amd64, not arm64"),
  ]);
});

test("a path that cannot be used is named, and why", async () => {
  const none = join(from, "none");
  const missing = await bangerErrorOf(run({ from: none }));
  expect([missing.code, missing.message]).toEqual([
    "not_found",
    `Cannot use "${none}" as a kernel: no such file`,
  ]);
  const device = await bangerErrorOf(run({ from: "/dev/null" }));
  expect(device.message).toBe('Cannot use "/dev/null" as a kernel: it is not a regular file');
});

describe("by the names of files", () => {
  test("an ELF file goes before a compressed one, with what is of its release beside it", async () => {
    put("vmlinux-6.12.1-fixture", kernelBytes());
    put("vmlinuz-6.12.1-fixture", makeBzImage(kernelBytes({ version: "6.1.1" })));
    const initrd = buildCpio([{ path: "etc/right", data: Buffer.from("x") }]);
    put("initrd.img-6.12.1-fixture", initrd);
    put("initrd.img-5.10", "wrong");
    put("config-6.12.1-fixture", "CONFIG_TUN=y\n");
    put("config", "CONFIG_VETH=y\n");
    const manifest = await run();
    expect(manifest).toMatchObject({
      name: "local-6.12",
      distro: "local",
      version: "6.12.1-fixture",
      features: [{ name: "tun", kind: "built-in" }],
      initrd: true,
    });
    expect(readFileSync(join(dir, "local-6.12/initrd.img")).equals(initrd)).toBe(true);
  });

  test("an initrd gives the modules where no folder has them, and must be one", async () => {
    put("vmlinux", kernelBytes());
    const tree = "usr/lib/modules/6.12.1-fixture/kernel";
    const initrd = buildCpio([
      { path: `${tree}/virtio_blk.ko`, data: makeModule("depends=virtio") },
      { path: `${tree}/virtio.ko`, data: makeModule("depends=") },
    ]);
    put("initrd.img", gzipSync(initrd));
    const manifest = await run();
    expect(manifest.modules.map(({ name }) => name)).toEqual(["virtio", "virtio_blk"]);
    expect(readdirSync(join(dir, "local-6.12")).sort()).toEqual([
      "boot",
      "initrd.img",
      "manifest.json",
      "modules",
      "modules.ext4",
      "vmlinux",
    ]);
    put("initrd.img", "no archive");
    expect((await bangerErrorOf(run({ name: "other-6.12" }))).code).toBe("unsupported");
    expect(readdirSync(dir)).toEqual(["local-6.12"]);
  });

  test("a file alone, or a boot/ folder", async () => {
    put("boot/vmlinuz", makeBzImage(kernelBytes()));
    expect((await run({ name: "a-1.0" })).sha256).toBe(sha256(kernelBytes()));
    put("elsewhere/my-kernel", kernelBytes());
    const alone = await run({ from: join(from, "elsewhere/my-kernel"), name: "b-1.0" });
    expect(alone.version).toBe("6.12.1-fixture");
  });

  test("several that fit are an error that names them", async () => {
    put("vmlinux-1", kernelBytes());
    put("vmlinux-2", kernelBytes());
    const error = await bangerErrorOf(run());
    expect([error.code, error.message]).toEqual([
      "conflict",
      expect.stringContaining("more than one candidate: vmlinux-1, vmlinux-2"),
    ]);
    rmSync(join(from, "vmlinux-2"));
    put("initrd.img", "a");
    put("initramfs-x", "b");
    expect((await bangerErrorOf(run())).message).toContain(
      "more than one candidate: initramfs-x, initrd.img",
    );
    expect(readdirSync(folder)).toEqual(["from"]);
  });

  test("the configuration inside the kernel serves where there is no file", async () => {
    const inside = Buffer.concat([
      Buffer.from("IKCFG_ST"),
      Bun.gzipSync("CONFIG_FUSE_FS=y\nCONFIG_WIREGUARD=m\n"),
      Buffer.from("IKCFG_ED"),
    ]);
    put("vmlinux", Buffer.concat([kernelBytes(), inside]));
    expect((await run()).features).toEqual([
      { name: "fuse", kind: "built-in" },
      { name: "wireguard", kind: "module" },
    ]);
    expect(readFileSync(join(dir, "local-6.12/config"), "utf8")).toContain("CONFIG_FUSE_FS=y");
  });

  test("arm64's flat image is one", async () => {
    const image = Buffer.alloc(4096);
    image.write("ARM\x64", 0x38, "latin1");
    image.write("Linux version 6.12.9-arm (a@b) #1\n", 512);
    put("Image", image);
    expect(await run()).toMatchObject({ arch: "arm64", format: "Image", version: "6.12.9-arm" });
  });
});

describe("by metadata.json", () => {
  test("names every part, and says name and distribution", async () => {
    put("out/kernel.elf", kernelBytes());
    put("out/ramdisk", buildCpio([{ path: "etc/x", data: Buffer.from("x") }]));
    put("out/settings", "CONFIG_EXT4_FS=y\n");
    put("vmlinux", "not this one");
    const metadata = {
      kernel: "out/kernel.elf",
      initrd: "out/ramdisk",
      config: "out/settings",
      name: "mine-6.12",
      distro: "mine",
    };
    put("metadata.json", JSON.stringify(metadata));
    expect(await run()).toMatchObject({
      name: "mine-6.12",
      distro: "mine",
      initrd: true,
      features: [{ name: "ext4", kind: "built-in" }],
    });
    expect((await run({ name: "other-1.0" })).name).toBe("other-1.0");
  });

  test("leads nowhere else, and is refused when it is wrong", async () => {
    put("vmlinux", kernelBytes());
    writeKernelFolder(join(folder, "outside"));
    symlinkSync(join(folder, "outside"), join(from, "link"));
    for (const [metadata, code] of [
      ["{", "invalid_argument"],
      ["{}", "invalid_argument"],
      ['{"kernel":"../outside/vmlinux"}', "invalid_argument"],
      ['{"kernel":"/etc/passwd"}', "invalid_argument"],
      ['{"kernel":"vmlinux","name":"../x"}', "invalid_argument"],
      ['{"kernel":"link/vmlinux"}', "not_found"],
      ['{"kernel":"none"}', "not_found"],
    ] as const) {
      put("metadata.json", metadata);
      const error = await bangerErrorOf(run());
      expect([metadata, error.code]).toEqual([metadata, code]);
      expect(error.message).toContain("metadata.json");
    }
  });
});
