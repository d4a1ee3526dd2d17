/** Which monitor a machine gets. */
import { BangerError } from "#base/error.ts";
import type { Driver, DriverName } from "./driver.ts";
import { type KvmState, kvmState } from "./host.ts";

export interface DriverChoice {
  driver: Driver;
  /** One line: which, and why. */
  reason: string;
}

/**
 * The driver for `preference`. "auto" takes the first that can run here: Firecracker needs
 * KVM, QEMU emulates without it. `unsupported` when the preferred one cannot run here.
 */
export function chooseDriver(
  drivers: readonly Driver[],
  preference: DriverName | "auto",
  kvm: KvmState = kvmState(),
): DriverChoice {
  const firecracker = drivers.find(({ name }) => name === "firecracker");
  const qemu = drivers.find(({ name }) => name === "qemu");
  if (preference === "firecracker")
    return { driver: firecrackerOf(firecracker, kvm), reason: "Firecracker, as asked" };
  if (preference === "auto" && firecracker && kvm.usable) {
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
  const why = preference === "qemu" ? "QEMU, as asked" : "QEMU";
  if (kvm.usable) return { driver: qemu, reason: `${why}, with KVM` };
  return { driver: qemu, reason: `${why}, emulating the CPU, because ${lowerFirst(kvm.reason)}` };
}

function firecrackerOf(driver: Driver | undefined, kvm: KvmState): Driver {
  if (driver && kvm.usable) return driver;
  const why = driver ? lowerFirst(kvm.reason) : "this build has no driver for it";
  throw new BangerError("unsupported", `Cannot use Firecracker: ${why}`, {
    hint: kvm.usable || !kvm.fix ? 'Use "qemu" or "auto"' : kvm.fix,
  });
}

function lowerFirst(text: string): string {
  return /^[A-Z][a-z]/.test(text) ? text.charAt(0).toLowerCase() + text.slice(1) : text;
}
