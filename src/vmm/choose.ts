/** Which monitor a machine gets. */
import { BangerError } from "#base/error.ts";
import type { Driver, DriverName } from "./driver.ts";
import { type KvmState, kvmState } from "./host.ts";

export interface DriverChoice {
  driver: Driver;
  /** One line: which, and why. */
  reason: string;
}

/** What the machine asks of its monitor. */
export interface Needs {
  preference: DriverName | "auto";
  /** A network of the monitor's own, without a tap. */
  userNetwork: boolean;
  /** Default 1. */
  cpus?: number;
}

/**
 * The driver for a machine. "auto" takes Firecracker where it is installed, KVM is usable
 * and the machine needs nothing that it lacks, and QEMU, which can emulate, elsewhere.
 * `unsupported` when the preferred one cannot run the machine here.
 */
export function chooseDriver(
  drivers: readonly Driver[],
  needs: Needs,
  kvm: KvmState = kvmState(),
): DriverChoice {
  const firecracker = drivers.find(({ name }) => name === "firecracker");
  const qemu = drivers.find(({ name }) => name === "qemu");
  if (needs.preference === "firecracker") {
    return { driver: firecrackerFor(needs, firecracker, kvm), reason: "Firecracker, as asked" };
  }
  if (needs.preference === "auto" && firecracker && !obstacleTo(firecracker, needs, kvm)) {
    return { driver: firecracker, reason: "Firecracker, because KVM is usable" };
  }
  if (!qemu) {
    throw new BangerError(
      "unsupported",
      "Cannot choose a virtual machine monitor: none can run here",
      {
        hint: "banger doctor",
      },
    );
  }
  const why = needs.preference === "qemu" ? "QEMU, as asked" : "QEMU";
  if (!kvm.usable) {
    const { cpus = 1 } = needs;
    const shared = cpus > 1 ? `, so its ${cpus} CPUs take turns on one of the host's` : "";
    return { driver: qemu, reason: `${why}, emulated: no usable KVM${shared}` };
  }
  const lack = needs.preference === "auto" && firecracker && obstacleTo(firecracker, needs, kvm);
  const rather = lack ? `: Firecracker ${lack.why.replace(/^it /, "")}` : "";
  return { driver: qemu, reason: `${why}, with KVM${rather}` };
}

function firecrackerFor(needs: Needs, driver: Driver | undefined, kvm: KvmState): Driver {
  const obstacle: Obstacle | undefined = driver
    ? obstacleTo(driver, needs, kvm)
    : { why: "this build has no driver for it" };
  if (driver && !obstacle) return driver;
  throw new BangerError("unsupported", `Cannot use Firecracker: ${obstacle?.why}`, {
    hint: obstacle?.hint ?? 'Use "qemu" or "auto"',
  });
}

interface Obstacle {
  why: string;
  hint?: string | undefined;
}

function obstacleTo(driver: Driver, needs: Needs, kvm: KvmState): Obstacle | undefined {
  if (!kvm.usable) return { why: lowerFirst(kvm.reason), hint: kvm.fix };
  if (needs.userNetwork && !driver.features.userNetwork) {
    return { why: "it has no network of its own" };
  }
  if (!driver.isInstalled()) return { why: "it is not installed" };
  return driver.obstacle?.();
}

function lowerFirst(text: string): string {
  return /^[A-Z][a-z]/.test(text) ? text.charAt(0).toLowerCase() + text.slice(1) : text;
}
