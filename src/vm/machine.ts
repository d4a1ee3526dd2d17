/**
 * The life of a machine: its states, and which one may follow which. Every change of a
 * machine's state goes through `assertTransition`; nothing else decides what is legal.
 */
import type { VmState } from "#api/vm.ts";
import { assert } from "#base/assert.ts";
import { BangerError } from "#base/error.ts";

const transitions: Record<VmState, readonly VmState[]> = {
  /** Its folder and disk are being made; a crash here undoes the machine. */
  creating: ["stopped", "removing"],
  /** Holds nothing but its folder. */
  stopped: ["starting", "removing"],
  /** Network, initrd and VMM are being made; failure leads back to stopped. */
  starting: ["running", "stopping", "stopped"],
  /** The VMM runs and the guest has said that it is ready. */
  running: ["paused", "suspending", "stopping", "stopped"],
  /** The VMM's processors stand still; its memory stays where it is. */
  paused: ["running", "stopping", "stopped"],
  /** Memory and devices are being written to its folder; failure leads back to running. */
  suspending: ["suspended", "running", "stopping", "stopped"],
  /** Memory and devices are in its folder, and published ports are listened on; nothing runs. */
  suspended: ["waking", "stopped", "removing"],
  /** A VMM is being made from these; failure leads back to suspended, or to a boot. */
  waking: ["running", "suspended", "stopping", "stopped"],
  /** The guest was asked to power off, or the VMM is being ended; called off, it runs on. */
  stopping: ["stopped", "running"],
  /** On its way out; only removal can follow, however often it is interrupted. */
  removing: [],
};

export function assertTransition(from: VmState, to: VmState): void {
  assert(transitions[from].includes(to), `a machine cannot go from ${from} to ${to}`);
}

/** What a user may do in which state, with the sentence for when they may not. */
export function requireState(
  vm: { name: string; state: VmState },
  verb: string,
  allowed: readonly VmState[],
): void {
  if (allowed.includes(vm.state)) return;
  throw new BangerError("invalid_state", `Cannot ${verb} machine "${vm.name}": it is ${vm.state}`, {
    hint: hintFor(vm, verb),
  });
}

/** Its memory is on disk, or on its way there or back: whoever needs the machine wakes it, or waits. */
export function isAsleep(state: VmState): boolean {
  return state === "suspending" || state === "suspended" || state === "waking";
}

export function assertNotRunning({ name, state }: { name: string; state: VmState }): void {
  if (state !== "running" && state !== "paused") return;
  throw new BangerError("invalid_state", `Cannot remove machine "${name}": it is ${state}`, {
    hint: `Stop it first (banger vm stop ${name}), or use: banger vm rm --force ${name}`,
  });
}

/** The way on to what was wanted; nothing where the machine is in that state already. */
function hintFor(
  { name, state }: { name: string; state: VmState },
  verb: string,
): string | undefined {
  if (state === "stopped") {
    return /^(stop|kill)$/.test(verb) ? undefined : `Start it with: banger vm start ${name}`;
  }
  if (state === "paused" || (state === "suspended" && verb !== "clone")) {
    return `Resume it with: banger vm resume ${name}`;
  }
  if (state === "suspended") return `Stop it with: banger vm stop ${name}`;
  if (state === "running") {
    return verb === "start" ? undefined : `Stop it with: banger vm stop ${name}`;
  }
  return `Wait a moment and check: banger vm show ${name}`;
}
