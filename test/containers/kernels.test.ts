/**
 * Debian's ordinary kernels, whose ext4 and crc32c are modules: they boot, and load more modules when these are used, in
 * an image that has no modprobe.
 */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import type { Kernel } from "#api/kernel.ts";
import { AGENT_PATH } from "#guest/protocol.ts";
import { pullBusybox } from "#test/busybox.ts";
import { type Installation, install } from "#test/installation.ts";

setDefaultTimeout(60 * 60_000);

const LOADERS = "/bin/modprobe /bin/insmod /bin/depmod";
/** What uses a module, and modules that are loaded then: dependencies, and soft ones by their aliases. */
const USES = [
  { use: "ip link add wg0 type wireguard", modules: ["wireguard", "udp_tunnel", "libchacha"] },
  { use: "true </dev/loop-control", modules: ["loop"] },
  { use: "mount -t btrfs none /mnt", modules: ["btrfs", "raid6_pq", "xor", "blake2b_generic"] },
  { use: "true </dev/net/tun", modules: ["tun"] },
];

let banger: Installation;

beforeAll(async () => {
  banger = install();
  await pullBusybox(banger);
});
afterAll(() => banger?.[Symbol.asyncDispose]());

test.each(["debian-full-6.12", "debian-full-6.1"])("%s boots, and loads modules", async (name) => {
  await banger.ok("kernel", "pull", name);
  const kernel = await banger.json<Kernel>("kernel", "show", name);
  const vm = name.replace(".", "-");
  const kind = ["--image", "busybox", "--kernel-ref", name, "--mode", "direct", "--net", "none"];
  await banger.ok("vm", "create", "--name", vm, ...kind, "--memory", "512M");
  const inside = (script: string) => banger.ok("vm", "exec", vm, "--", "sh", "-c", script);
  const loaded = async () => (await inside("cut -d ' ' -f 1 /proc/modules")).trim().split("\n");

  expect((await inside("uname -r")).trim()).toBe(kernel.version);
  const atBoot = await loaded();
  expect(atBoot).toContain("ext4");
  // A soft dependency of ext4.
  expect(atBoot.some((module) => module.startsWith("crc32c_"))).toBe(true);
  expect(await inside("cat /proc/sys/kernel/modprobe")).toBe(`${AGENT_PATH}\n`);
  await inside(`rm -f ${LOADERS}; mkdir -p /mnt`);
  for (const { use, modules } of USES) {
    // Whether there is something to open or mount does not matter.
    await inside(`${use}; true`);
    const now = await loaded();
    for (const module of modules) {
      expect(atBoot, module).not.toContain(module);
      expect(now, use).toContain(module);
    }
  }
  await banger.ok("vm", "rm", "--force", vm);
});
