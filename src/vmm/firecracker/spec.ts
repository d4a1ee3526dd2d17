/** Whether Firecracker can run what a BootSpec describes, before anything is started. */
import { accessSync, constants, existsSync } from "node:fs";
import { BangerError, errnoOf } from "#base/error.ts";
import type { BootSpec } from "#vmm/driver.ts";
import { assertKernelFits } from "#vmm/kernel-memory.ts";
import { checkKernel } from "./kernel.ts";

const RUNTIME_DIR_MAX_BYTES = 80;
const CPUS_MAX = 32;
const MEMORY_MIN_MIB = 16;
/** A device takes one of 19 interrupts; vsock, entropy, network and balloon take four. */
const DRIVES_MAX = 15;

export function checkSpec(spec: BootSpec): void {
  const complain = (why: string): never => {
    throw new BangerError("invalid_argument", `Cannot start machine "${spec.id}": ${why}`);
  };
  if (!/^[a-z0-9][a-z0-9-]{0,62}$/.test(spec.id)) complain("its id is not a name");
  if (Buffer.byteLength(spec.runtimeDir) > RUNTIME_DIR_MAX_BYTES) {
    complain(`the path of its runtime folder is longer than ${RUNTIME_DIR_MAX_BYTES} bytes`);
  }
  if (!Number.isSafeInteger(spec.cpus) || spec.cpus < 1 || spec.cpus > CPUS_MAX) {
    complain(`Firecracker gives a machine 1 to ${CPUS_MAX} CPUs, not ${spec.cpus}`);
  }
  if (!Number.isSafeInteger(spec.memory_mib) || spec.memory_mib < MEMORY_MIN_MIB) {
    complain(`${spec.memory_mib} MiB of memory are not enough`);
  }
  if (spec.drives.length > DRIVES_MAX) complain(`more than ${DRIVES_MAX} drives`);
  if (spec.network?.kind === "user") {
    throw new BangerError(
      "unsupported",
      `Cannot start machine "${spec.id}": Firecracker has no user-mode network`,
      { hint: "Use --net nat, or --vmm qemu" },
    );
  }
  // As root Firecracker would make one of that name, which is on no bridge and goes with the process.
  if (spec.network && !existsSync(`/sys/class/net/${spec.network.tap}`)) {
    throw new BangerError(
      "not_found",
      `Cannot start machine "${spec.id}": its tap "${spec.network.tap}" is not there`,
      { hint: "banger doctor" },
    );
  }
  checkKernel(spec.kernelPath);
  requireFile(spec.initrdPath);
  for (const { path, readOnly } of spec.drives) requireFile(path, readOnly ? 0 : constants.W_OK);
  assertKernelFits(spec);
}

function requireFile(path: string, alsoMode = 0): void {
  try {
    accessSync(path, constants.R_OK | alsoMode);
  } catch (cause) {
    const isMissing = errnoOf(cause) === "ENOENT";
    const why = isMissing ? "there is no such file" : (errnoOf(cause) ?? "it does not open");
    const code = isMissing ? "not_found" : "permission_denied";
    throw new BangerError(code, `Cannot use "${path}": ${why}`, { cause });
  }
}
