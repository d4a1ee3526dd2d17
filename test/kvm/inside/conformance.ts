/**
 * The driver contract with KVM. It is bundled by `copyConformance` into the outer machine of nested.test.ts, and run
 * there by `bun test`. BANGER_TEST_LANE names the driver, BANGER_TEST_GUEST the directory of what its guests boot from.
 */
import { join } from "node:path";
import { testConformance } from "#test/vmm-conformance.ts";
import type { Driver } from "#vmm/driver.ts";
import { createFirecrackerDriver } from "#vmm/firecracker/driver.ts";
import { createQemuDriver } from "#vmm/qemu/driver.ts";

const lanes: Record<string, () => Driver> = {
  qemu: () => createQemuDriver({ accelerator: "kvm" }),
  firecracker: () => createFirecrackerDriver({ jailer: false }),
  "firecracker jailed": () => createFirecrackerDriver({ jailer: "jailer" }),
};
const lane = process.env["BANGER_TEST_LANE"] ?? "";
const create = lanes[lane];
if (!create) throw new Error(`BANGER_TEST_LANE is "${lane}"`);
const driver = create();
const guest = process.env["BANGER_TEST_GUEST"] ?? "";
const inGuest = (name: string) => join(import.meta.dir, guest, name);

testConformance(lane, async () => ({
  driver,
  kernelPath: inGuest("vmlinux"),
  initrdPath: inGuest(driver.features.vsock ? "initrd-vsock" : "initrd-serial"),
  isSmall: guest === "small",
}));
