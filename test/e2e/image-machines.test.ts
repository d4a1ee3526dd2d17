/** Machines of images that are the user's own files, booted for real. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import type { Image } from "#api/image.ts";
import type { Kernel } from "#api/kernel.ts";
import type { Vm } from "#api/vm.ts";
import { buildCpio } from "#guest/initrd.ts";
import { busyboxLayout } from "#test/busybox.ts";
import { type Installation, install } from "#test/installation.ts";

const KERNEL = "debian-6.12";
const DIRECT = ["--mode", "direct", "--net", "none", "--memory", "256M"];
const TIMEOUT_MS = 180_000;

let banger: Installation;
let kernel: Kernel;
/** Its release: the folder below lib/modules. */
let release = "";

beforeAll(async () => {
  banger = install();
  await banger.ok("kernel", "pull", KERNEL);
  kernel = await banger.json<Kernel>("kernel", "show", KERNEL);
  [release = ""] = readdirSync(join(kernel.path, "modules"));
  await busyboxLayout(at("busybox"));
  await banger.ok("image", "pull", `oci:${at("busybox")}`, "--name", "busybox");
  const { rootfs } = await banger.json<Image>("image", "show", "busybox");
  copyFileSync(rootfs, at("rootfs.ext4"));
  copyFileSync(join(kernel.path, "vmlinux"), at("vmlinux"));
  mkdirSync(at("seed/.config/deep"), { recursive: true });
  writeFileSync(at("seed/note"), "from the seed\n");
  writeFileSync(at("seed/.config/deep/tool"), "#!/bin/sh\necho tool\n", { mode: 0o755 });
}, 300_000);

afterAll(async () => {
  await banger?.[Symbol.asyncDispose]();
}, 120_000);

function at(name: string): string {
  return join(banger.home, name);
}

async function exec(vm: string, script: string): Promise<string> {
  return (await banger.ok("vm", "exec", vm, "--", "sh", "-c", script)).trimEnd();
}

describe("images of the user's own files", () => {
  test(
    "boot their kernel with its modules, and start with the work seed in /root",
    async () => {
      const files = ["--rootfs", at("rootfs.ext4"), "--kernel", at("vmlinux")];
      const more = ["--modules", join(kernel.path, "modules"), "--work-seed", at("seed")];
      await banger.ok("image", "register", "mine", ...files, ...more);
      const vm = await banger.json<Vm>(
        "vm",
        "create",
        "--image",
        "mine",
        "--name",
        "own",
        ...DIRECT,
      );
      expect(vm).toMatchObject({ kernel: "image:mine", state: "running" });
      expect(await exec("own", "uname -r")).toBe(release);
      expect(
        await exec("own", "cd; pwd; cat note; .config/deep/tool; stat -c '%u:%g %a' . note"),
      ).toBe("/root\nfrom the seed\ntool\n0:0 755\n0:0 644");
      await exec("own", "echo changed > /root/note; rm -r /root/.config; sync");
      await banger.ok("vm", "restart", "own");
      expect(await exec("own", "cat /root/note; ls -A /root")).toBe("changed\n.ssh\nnote");
    },
    TIMEOUT_MS,
  );

  test(
    "a second machine has a /root of its own, and promoted files do as well as the user's",
    async () => {
      await banger.ok("image", "promote", "mine");
      rmSync(at("seed"), { recursive: true });
      const run = ["vm", "run", "--net", "none", "--memory", "256M", "mine", "--"];
      expect(await banger.ok(...run, "cat", "/root/note")).toBe("from the seed\n");
      await banger.ok("vm", "restart", "own");
      expect(await exec("own", "cat /root/note")).toBe("changed");
      await banger.ok("vm", "rm", "--force", "own");
    },
    TIMEOUT_MS,
  );

  test(
    "an initrd gives the modules where no folder does, and its files are there at the boot",
    async () => {
      const boot = join(kernel.path, "boot");
      const modules = readdirSync(boot).map((name) => ({
        path: `usr/lib/modules/${release}/kernel/drivers/${name}`,
        data: readFileSync(join(boot, name)),
      }));
      // As initramfs-tools and dracut put it: microcode in front, uncompressed, and an init of its own.
      const early = buildCpio([
        { path: "kernel/x86/microcode/AuthenticAMD.bin", data: Buffer.from("x") },
      ]);
      const main = buildCpio([
        { path: "init", mode: 0o755, data: Buffer.from("not this one") },
        ...modules,
      ]);
      writeFileSync(at("initrd.img"), Buffer.concat([early, Buffer.alloc(512), gzipSync(main)]));
      const files = ["--rootfs", at("rootfs.ext4"), "--kernel", at("vmlinux")];
      await banger.ok("image", "register", "early", ...files, "--initrd", at("initrd.img"));
      const run = ["vm", "run", "--net", "none", "--memory", "256M", "early", "--"];
      expect(await banger.ok(...run, "uname", "-r")).toBe(`${release}\n`);
    },
    TIMEOUT_MS,
  );
});
