/** The kernel command line for Firecracker, which has no firmware, no PCI and few devices. */
import { BangerError } from "#base/error.ts";

/** Firecracker's own limit for the whole command line, with what it appends for its devices. */
const COMMAND_LINE_MAX_BYTES = 2047;
/** " virtio_mmio.device=4K@0xd0001000:5", which it appends for each device, rounded up. */
const DEVICE_BYTES = 48;

export interface BootArgsOptions {
  /** Whether the guest has a serial console. */
  serial: boolean;
  /** Drives, network interfaces, vsock, entropy. */
  devices: number;
  /** Default: that of this computer. */
  arch?: string;
}

/**
 * Ours first, then the caller's. A parameter that the caller gives replaces ours of the same name,
 * except that nothing brings back a serial console which is off. `limit_exceeded` when it is too long.
 */
export function bootArgs(callerArgs: readonly string[], options: BootArgsOptions): string {
  const wanted = callerArgs.filter((arg) => options.serial || !/^console=ttyS\d/.test(arg));
  const named = new Set(wanted.map(nameOf));
  const own = ownArgs(options).filter((arg) => !named.has(nameOf(arg)));
  const line = [...new Set([...own, ...wanted])].join(" ");
  const max = COMMAND_LINE_MAX_BYTES - options.devices * DEVICE_BYTES;
  if (Buffer.byteLength(line) <= max) return line;
  throw new BangerError(
    "limit_exceeded",
    `Cannot start the machine: its kernel parameters are longer than ${max} bytes`,
  );
}

function ownArgs({ serial, arch = process.arch }: BootArgsOptions): string[] {
  return [
    // Looking for serial ports that nobody listens to costs time, and each line written as well.
    serial ? "console=ttyS0" : "8250.nr_uarts=0",
    "quiet",
    // Firecracker ends when the guest resets through the keyboard controller, and never otherwise.
    "reboot=k",
    "panic=-1",
    // It cannot power off: whoever shuts the guest down must reset it.
    "banger.poweroff=reset",
    "pci=off",
    ...(arch === "x64" ? KEYBOARD : []),
    // Otherwise the first reader of random numbers can wait for seconds.
    "random.trust_cpu=on",
    "net.ifnames=0",
  ];
}

/**
 * Probing the keyboard controller for what it does not have takes tens of milliseconds. Not `i8042.nopnp`:
 * only ACPI gives it an interrupt, and without one the guest is deaf to SendCtrlAltDel.
 */
const KEYBOARD = ["i8042.noaux", "i8042.nomux", "i8042.dumbkbd"];

function nameOf(arg: string): string {
  return arg.split("=")[0] ?? arg;
}
