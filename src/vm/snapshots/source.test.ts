/** What stands between a machine and the memory that it is to go on from, each told in a line. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { BootRecord } from "#guest/boot.ts";
import type { VmRecord } from "#vm/records.ts";
import type { BootSpec, Driver, Machine } from "#vmm/driver.ts";
import { rootfsMark } from "./rootfs-mark.ts";
import { type MemorySource, type RestoreParts, restoreMemory } from "./source.ts";

const folder = mkdtempSync(join(tmpdir(), "banger-source-"));
afterAll(() => rmSync(folder, { recursive: true }));

const rootfs = join(folder, "rootfs.ext4");
const other = join(folder, "other.ext4");
writeFileSync(rootfs, Buffer.alloc(8192, 1));
writeFileSync(other, Buffer.alloc(8192, 2));

const source: MemorySource = {
  title: 'snapshot "ready"',
  memoryPath: "memory",
  statePath: "state",
  driver: "qemu",
  snapshotKey: "7.2",
  rootfs: rootfsMark(rootfs),
  lowers: 1,
  modules: "debian",
  network: "nat",
};
const identity: BootRecord = {
  mode: "direct",
  hostname: "box",
  rootfs: { kind: "overlay", lowers: 1 },
  authorizedKeys: [],
  modules: [],
  env: {},
  machineId: "0".repeat(32),
  time_unix_ns: 0n,
  entropySeed: new Uint8Array(64),
};

/** What is told, and whether it was restored. */
async function restored(changes: Partial<MemorySource>): Promise<string> {
  const told: string[] = [];
  const driver = {
    name: "qemu",
    title: "QEMU",
    features: { snapshot: true },
    snapshotKey: async () => "7.2",
    restore: async () => ({}) as Machine,
  } as unknown as Driver;
  const spec = {
    runtimeDir: folder,
    initrdPath: join(folder, "initrd"),
    drives: [{ path: rootfs, readOnly: true }],
  } as unknown as BootSpec;
  const parts: RestoreParts = { driver, spec, identity, now: { lowers: 1, modules: "debian" } };
  const vm = { name: "box", spec: { network: "host" } } as VmRecord;
  const onProgress = ({ message }: { message: string }) => void told.push(message);
  const machine = await restoreMemory({ ...source, ...changes }, vm, parts, { onProgress });
  expect(machine === undefined).toBe(told[0] !== "Restoring box");
  return told.join();
}

test("memory goes with its VMM, image, layers, modules and kind of network", async () => {
  expect(await restored({})).toBe("Restoring box");
  expect(await restored({ rootfs: undefined })).toBe("Restoring box");
  const obstacles: [Partial<MemorySource>, string][] = [
    [{ driver: "firecracker" }, "it is for firecracker, not qemu"],
    [{ snapshotKey: "8.0" }, "QEMU or the host's processor is another one now"],
    [{ rootfs: rootfsMark(other) }, "the image has another file system now"],
    [{ lowers: 0 }, "the image has other layers now"],
    [{ modules: undefined }, "the kernel has other modules now"],
    [{ network: "user" }, "its network is of another kind"],
  ];
  for (const [changes, why] of obstacles) {
    expect(await restored(changes)).toBe(
      `warning: Cannot restore the memory of snapshot "ready", booting from its disk: ${why}`,
    );
  }
});
