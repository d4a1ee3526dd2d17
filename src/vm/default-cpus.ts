import type { Config } from "#config/resolve.ts";
import { kvmState } from "#vmm/host.ts";

/** Of a machine made without --cpus. Emulated ones take turns in one thread of the host: more than one is only for who asks for them. */
export function defaultCpus({ values, origins }: Config): number {
  return origins["vm.cpus"] === "default" && !kvmState().usable ? 1 : values["vm.cpus"];
}
