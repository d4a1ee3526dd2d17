import type { Config } from "#config/resolve.ts";
import { kvmState } from "#vmm/host.ts";

/** Default number of CPUs. Emulated CPUs share one host thread, so that more than one is only for those who ask. */
export function defaultCpus({ values, origins }: Config): number {
  return origins["vm.cpus"] === "default" && !kvmState().usable ? 1 : values["vm.cpus"];
}
