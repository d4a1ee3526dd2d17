/** Which processes are a machine's QEMU. */
import { argumentsOf, type ProcessIdentity } from "#vmm/identity.ts";
import { findProcesses } from "#vmm/process.ts";
import { socketPaths } from "./command.ts";

/** Whether the process is a QEMU that keeps its sockets in `runtimeDir`. */
export function belongsTo(pid: number, runtimeDir: string): boolean {
  return isQemuOf(argumentsOf(pid), runtimeDir);
}

/** Every QEMU that keeps its sockets in `runtimeDir`, for when its pid was never written down. */
export function findOrphans(runtimeDir: string): ProcessIdentity[] {
  return findProcesses((argv) => isQemuOf(argv, runtimeDir));
}

function isQemuOf(argv: readonly string[], runtimeDir: string): boolean {
  const { qmp } = socketPaths(runtimeDir);
  const wanted = `unix:${qmp.replaceAll(",", ",,")},`;
  return argv.some((argument) => argument.startsWith(wanted));
}
