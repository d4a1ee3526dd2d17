/** Whether a BootSpec is one that any VMM can run, before anything is started. */
import { accessSync, constants } from "node:fs";
import { BangerError, errnoOf } from "#base/error.ts";
import type { BootSpec } from "./driver.ts";
import { assertKernelFits } from "./kernel-memory.ts";

const RUNTIME_DIR_MAX_BYTES = 80;
const MEMORY_MIN_MIB = 16;

/** `drivesMax`: how many the VMM's machine has room for. */
export function checkDescription(spec: BootSpec, { drivesMax }: { drivesMax: number }): void {
  if (!/^[a-z0-9][a-z0-9-]{0,62}$/.test(spec.id)) throw refusal(spec, "invalid machine ID");
  if (Buffer.byteLength(spec.runtimeDir) > RUNTIME_DIR_MAX_BYTES) {
    const limit = `${RUNTIME_DIR_MAX_BYTES} bytes`;
    throw refusal(spec, `the path of its runtime folder is longer than ${limit}`);
  }
  if (!Number.isSafeInteger(spec.cpus) || spec.cpus < 1) {
    throw refusal(spec, `it has ${spec.cpus} CPUs`);
  }
  if (!Number.isSafeInteger(spec.memory_mib) || spec.memory_mib < MEMORY_MIN_MIB) {
    throw refusal(spec, `${spec.memory_mib} MiB of memory is not enough`);
  }
  if (spec.drives.length > drivesMax) throw refusal(spec, `more than ${drivesMax} drives`);
}

/** The files that the machine boots and runs from, and whether its kernel fits into its memory. */
export function checkFiles(spec: BootSpec): void {
  for (const path of [spec.kernelPath, spec.initrdPath]) requireFile(path);
  for (const { path, readOnly } of spec.drives) requireFile(path, readOnly ? 0 : constants.W_OK);
  assertKernelFits(spec);
}

export function refusal({ id }: BootSpec, why: string): BangerError {
  return new BangerError("invalid_argument", `Cannot start machine "${id}": ${why}`);
}

function requireFile(path: string, alsoMode = 0): void {
  try {
    accessSync(path, constants.R_OK | alsoMode);
  } catch (cause) {
    const isMissing = errnoOf(cause) === "ENOENT";
    const why = isMissing ? "no such file" : (errnoOf(cause) ?? "it does not open");
    const code = isMissing ? "not_found" : "permission_denied";
    throw new BangerError(code, `Cannot use "${path}": ${why}`, { cause });
  }
}
