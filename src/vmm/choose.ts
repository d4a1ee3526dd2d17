/** Which VMM a machine gets. */
import { BangerError } from "#base/error.ts";
import type { Driver, DriverName } from "./driver.ts";
import { type KvmState, kvmState } from "./host.ts";

export interface DriverChoice {
  driver: Driver;
  /** One line: which, and why. */
  reason: string;
}

/** What the machine needs of its VMM. */
export interface Needs {
  preference: DriverName | "auto";
  /** A network of the VMM's own, without a tap. */
  userNetwork: boolean;
  /** Default 1. */
  cpus?: number;
}

/**
 * The driver for a machine. "auto" takes the first one that needs KVM and has nothing in its way, and
 * elsewhere one that can emulate. `unsupported` when the preferred one cannot run the machine here.
 */
export function chooseDriver(
  drivers: readonly Driver[],
  needs: Needs,
  kvm: KvmState = kvmState(),
): DriverChoice {
  const isAuto = needs.preference === "auto";
  const candidates = isAuto
    ? drivers.toSorted((a, b) => Number(a.features.emulation) - Number(b.features.emulation))
    : drivers.filter(({ name }) => name === needs.preference);
  const driver = candidates.find((each) => !obstacleTo(each, needs, kvm));
  const [first] = candidates;
  if (!driver) throw isAuto ? noneError() : unusableError(needs, first, kvm);
  const lack = driver === first ? undefined : first && obstacleTo(first, needs, kvm);
  return {
    driver,
    reason: reasonFor(driver, needs, {
      kvm,
      lack: lack && `${first?.title} ${lack.why.replace(/^it /, "")}`,
    }),
  };
}

/**
 * What a machine must name as its VMM, to be restored from memory that `saved` wrote. Undefined where that one is
 * chosen anyway, and where it cannot run the machine here.
 */
export function choiceForMemory(
  drivers: readonly Driver[],
  { saved, ...needs }: Needs & { saved: DriverName },
  kvm: KvmState = kvmState(),
): DriverName | undefined {
  const driver = drivers.find(({ name }) => name === saved);
  if (!driver || obstacleTo(driver, needs, kvm)) return undefined;
  return chooseDriver(drivers, needs, kvm).driver === driver ? undefined : saved;
}

function reasonFor(
  { title, features }: Driver,
  { preference, cpus = 1 }: Needs,
  { kvm, lack }: { kvm: KvmState; lack: string | undefined },
): string {
  const isAuto = preference === "auto";
  const name = isAuto ? title : `${title}, as asked`;
  if (!features.emulation) return isAuto ? `${name}, because KVM is usable` : name;
  if (!kvm.usable) {
    const shared = cpus > 1 ? `, so its ${cpus} CPUs share one host CPU` : "";
    return `${name}, emulated: no usable KVM${shared}`;
  }
  return `${name}, with KVM${lack ? `: ${lack}` : ""}`;
}

function noneError(): BangerError {
  return new BangerError("unsupported", "no usable VMM on this host", {
    hint: "Check the host with: banger doctor",
  });
}

function unusableError(needs: Needs, driver: Driver | undefined, kvm: KvmState): BangerError {
  const obstacle = driver && obstacleTo(driver, needs, kvm);
  const why = obstacle?.why ?? "this build has no driver for it";
  return new BangerError("unsupported", `Cannot use ${driver?.title ?? needs.preference}: ${why}`, {
    hint: obstacle?.hint ?? "Use another --vmm, or auto",
  });
}

interface Obstacle {
  why: string;
  hint?: string | undefined;
}

/** A driver that emulates is the last resort: what it lacks is its own error at the boot. */
function obstacleTo(driver: Driver, needs: Needs, kvm: KvmState): Obstacle | undefined {
  if (driver.features.emulation) return undefined;
  if (!kvm.usable) return { why: lowerFirst(kvm.reason), hint: kvm.fix };
  if (needs.userNetwork && !driver.features.userNetwork) {
    return { why: "it does not support user-mode networking" };
  }
  const { cpusMax } = driver.features;
  if (cpusMax !== undefined && needs.cpus !== undefined && needs.cpus > cpusMax) {
    return { why: `it supports at most ${cpusMax} CPUs` };
  }
  if (!driver.isInstalled()) return { why: "it is not installed" };
  return driver.obstacle?.();
}

function lowerFirst(text: string): string {
  return /^[A-Z][a-z]/.test(text) ? text.charAt(0).toLowerCase() + text.slice(1) : text;
}
