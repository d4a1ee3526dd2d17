/**
 * Decides how to recover a machine of an earlier daemon, from its record and its process alone. Deciding
 * changes nothing, which is what `repair --dry-run` prints.
 */
import type { RepairStep } from "#api/system.ts";
import { isRunning } from "#base/process-identity.ts";
import type { VmRecord } from "#vm/records.ts";
import { hostBootId } from "./boot-id.ts";

export interface Recovery {
  action: "adopt" | "end" | "stop" | "remove" | "start";
  why: string;
}

/** Undefined for a machine that is as its record says and should be. */
export function recoveryOf(vm: VmRecord, options = { isAlive: isAlive(vm) }): Recovery | undefined {
  if (vm.state === "creating") return { action: "remove", why: "it was only partly created" };
  if (vm.state === "removing") return { action: "remove", why: "it was only partly removed" };
  if (vm.state === "stopped") {
    if (vm.spec.ephemeral) return { action: "remove", why: "its command has exited" };
    if (vm.intent === "create") return { action: "remove", why: "its creation was interrupted" };
    // Whoever has started it in the foreground does so again.
    if (vm.owner) return undefined;
    if (vm.intent === "run") return { action: "start", why: "it should be running" };
    return undefined;
  }
  // It holds nothing, and is woken when somebody needs it.
  if (vm.state === "suspended") return undefined;
  if (!options.isAlive) return { action: "stop", why: goneBecause(vm) };
  // The command that it was made for lost its client with the earlier daemon.
  if (vm.spec.ephemeral) return { action: "end", why: "its command lost its client" };
  if (vm.owner) return { action: "end", why: `its foreground process ${vm.owner.pid} has exited` };
  if (vm.state === "stopping") return { action: "end", why: "it was being stopped" };
  return { action: "adopt", why: `its process ${vm.runtime?.handle?.pid} is still running` };
}

export function stepOf(vm: VmRecord, { action, why }: Recovery): RepairStep {
  return { machine: vm.name, action, detail: why };
}

/** By pid and start time, and only of this boot of the host. */
function isAlive({ runtime }: VmRecord): boolean {
  if (runtime?.hostBootId !== hostBootId() || !runtime.handle) return false;
  return isRunning(runtime.handle);
}

function goneBecause({ runtime, state }: VmRecord): string {
  if (runtime && runtime.hostBootId !== hostBootId()) return "the host was rebooted";
  if (!runtime?.handle) return `it was ${state} and had no process yet`;
  return `its process ${runtime.handle.pid} has exited`;
}
