/** Checks that Firecracker can run a BootSpec, before anything is started. */
import { existsSync } from "node:fs";
import { BangerError } from "#base/error.ts";
import { checkDescription, checkFiles, refusal } from "#vmm/boot-checks.ts";
import type { BootSpec } from "#vmm/driver.ts";
import { checkKernel } from "./kernel.ts";

export const CPUS_MAX = 32;
/** A device takes one of 19 interrupts; vsock, entropy, network and the generation counter (VMGenID) take four. */
const DRIVES_MAX = 15;

export function checkSpec(spec: BootSpec): void {
  checkDescription(spec, { drivesMax: DRIVES_MAX });
  if (spec.cpus > CPUS_MAX) {
    throw refusal(spec, `Firecracker supports 1 to ${CPUS_MAX} CPUs, not ${spec.cpus}`);
  }
  if (spec.network?.kind === "user") {
    throw new BangerError(
      "unsupported",
      `Cannot start machine "${spec.id}": Firecracker does not support user-mode networking`,
      { hint: "Use --net nat, or --vmm qemu" },
    );
  }
  // As root Firecracker would make one of that name, which is on no bridge and goes with the process.
  const isElsewhere = spec.network?.namespacePid !== undefined;
  if (spec.network && !isElsewhere && !existsSync(`/sys/class/net/${spec.network.tap}`)) {
    throw new BangerError(
      "not_found",
      `Cannot start machine "${spec.id}": no such tap device "${spec.network.tap}"`,
      { hint: "banger doctor" },
    );
  }
  checkKernel(spec.kernelPath);
  checkFiles(spec);
}
