/** The command line of a QEMU machine: a pure function of its spec. */
import { join } from "node:path";
import type { Accelerator, BootSpec, Drive, NetworkDevice, Share } from "#vmm/driver.ts";

/** Name of the virtio-serial port that the guest agent opens. */
export const AGENT_PORT = "org.banger.agent";
/** The one for its last word. */
export const GOODBYE_PORT = "org.banger.goodbye";

/**
 * Transports of a microvm with ACPI are 24; without its second interrupt controller 8. Eight are
 * what every QEMU version gives: serial, random and network take three.
 */
export const DRIVES_MAX = 16;

export interface CommandOptions {
  accelerator: Accelerator;
  /** Of QEMU: "7.2.22". */
  version: string;
  /** Whether this QEMU was built with seccomp. */
  sandbox: boolean;
  /** Rate of the host's time stamp counter, if it is known. */
  tsc_khz: number | undefined;
  /** Where passt holds the other end of the user-mode network; undefined for QEMU's own. */
  cableFd?: number | undefined;
  /** What QEMU does not open by itself; undefined: it opens everything. */
  handed?: Handed | undefined;
  /** The memory of the snapshot that the machine is restored from, which it maps privately. */
  restoredMemory?: string | undefined;
}

/** Descriptors of QEMU's. */
export interface Handed {
  /** Sockets that wait for connections at `socketPaths`. */
  qmp: number;
  agent: number;
  goodbye: number;
  console: number;
  /** In the order of the machine's. */
  drives: readonly number[];
  /** Undefined: there is none, or it is opened by name. */
  tap: number | undefined;
}

export interface SocketPaths {
  /** The control socket. */
  qmp: string;
  /** Where the guest agent's byte stream comes out. */
  agent: string;
  /** Where its last word comes out. */
  goodbye: string;
}

export function socketPaths(runtimeDir: string): SocketPaths {
  return {
    qmp: join(runtimeDir, "qmp.sock"),
    agent: join(runtimeDir, "agent.sock"),
    goodbye: join(runtimeDir, "goodbye.sock"),
  };
}

/** By which a process is known to be a machine's: a value of its arguments. */
export function nameArgument(runtimeDir: string): string {
  return escapeValue(runtimeDir);
}

/** The arguments after the program name. */
export function qemuArguments(spec: BootSpec, options: CommandOptions): string[] {
  const sockets = socketPaths(spec.runtimeDir);
  const { handed } = options;
  const memory = memoryArguments(spec, options);
  return [
    ...[
      "-name",
      nameArgument(spec.runtimeDir),
      "-nodefaults",
      "-no-user-config",
      "-no-reboot",
      "-display",
      "none",
    ],
    ...(options.sandbox ? ["-sandbox", SANDBOX] : []),
    ...["-M", `microvm,dump-guest-core=off${memory.length > 0 ? `,memory-backend=${MEMORY}` : ""}`],
    ...["-accel", options.accelerator === "kvm" ? "kvm" : TCG],
    // Emulated, `rep movsb` goes byte by byte; a kernel that sees no ERMS copies by words instead.
    ...["-cpu", options.accelerator === "kvm" ? "host" : "max,-erms"],
    ...["-smp", String(spec.cpus), "-m", `${spec.memory_mib}M`],
    ...memory,
    ...(options.restoredMemory === undefined ? [] : ["-incoming", "defer"]),
    ...["-kernel", spec.kernelPath, "-initrd", spec.initrdPath],
    ...["-append", kernelCommandLine(spec, options)],
    ...consoleArguments(spec, handed),
    ...socketArguments(MONITOR, sockets.qmp, handed?.qmp),
    ...["-mon", option(undefined, { chardev: MONITOR, mode: "control" })],
    ...device("virtio-rng-device", {}),
    ...device("virtio-serial-device", { id: "serial" }),
    ...socketArguments("agent", sockets.agent, handed?.agent),
    ...portArguments("agent", AGENT_PORT),
    ...socketArguments("goodbye", sockets.goodbye, handed?.goodbye),
    ...portArguments("goodbye", GOODBYE_PORT),
    ...spec.drives.flatMap((drive, index) => driveArguments(drive, index, handed?.drives[index])),
    ...(spec.network ? networkArguments(spec.network, options) : []),
    ...(spec.shares ?? []).flatMap(shareArguments),
  ];
}

/**
 * With "none" files on the host have the owner that QEMU runs as, and the modes that the guest sets. QEMU opens each
 * component of a path below the directory by itself and follows no symlink.
 */
function shareArguments({ path, readOnly }: Share, index: number): string[] {
  const id = `share${index}`;
  const properties: Record<string, string> = {
    id,
    path,
    security_model: "none",
    multidevs: "remap",
    readonly: readOnly ? "on" : "off",
  };
  return [
    ...["-fsdev", option("local", properties)],
    ...device("virtio-9p-device", { fsdev: id, mount_tag: id }),
  ];
}

const MONITOR = "qmp";
const MEMORY = "memory";
/** This version can map a file privately that it may only read. */
const READ_ONLY_MEMORY_SINCE = [8, 2] as const;

/** Whether QEMU opens the memory of a snapshot for writing, which it does not do to it. */
export function opensMemoryForWriting(version: string): boolean {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const [sinceMajor, sinceMinor] = READ_ONLY_MEMORY_SINCE;
  return major < sinceMajor || (major === sinceMajor && minor < sinceMinor);
}

function memoryArguments(spec: BootSpec, { restoredMemory, version }: CommandOptions): string[] {
  if (restoredMemory === undefined) return [];
  const size = `${spec.memory_mib}M`;
  const mode: Record<string, string> = opensMemoryForWriting(version)
    ? {}
    : { readonly: "on", rom: "off" };
  const properties = { id: MEMORY, size, "mem-path": restoredMemory, share: "off", ...mode };
  return ["-object", option("memory-backend-file", properties)];
}

/**
 * All virtual CPUs take turns in one thread. With a thread each, one of them can go on executing the
 * breakpoint that another has just patched out of the kernel (static keys: JUMP_LABEL), and the guest
 * panics with "Oops: int3". On a host with few cores threads are slower as well: bench/emulated-cpus.ts.
 */
const TCG = "tcg,thread=single";

function consoleArguments({ consolePath }: BootSpec, handed: Handed | undefined): string[] {
  const set = handed && fileSet(handed.console);
  const path = set?.path ?? consolePath;
  return [
    ...(set?.argv ?? []),
    ...["-chardev", option("file", { id: "console", path, append: "on" })],
    ...["-serial", "chardev:console"],
  ];
}

/** A descriptor as a file that QEMU can open by a path. */
function fileSet(fd: number): { argv: string[]; path: string } {
  const argv = ["-add-fd", option(undefined, { fd: String(fd), set: String(fd) })];
  return { argv, path: `/dev/fdset/${fd}` };
}

/** A socket here that waits for a connection. */
function socketArguments(id: string, path: string, fd: number | undefined): string[] {
  const where: Record<string, string> = fd === undefined ? { path } : { fd: String(fd) };
  return ["-chardev", option("socket", { id, ...where, server: "on", wait: "off" })];
}

/** A named port of the guest. */
function portArguments(chardev: string, name: string): string[] {
  return device("virtserialport", { bus: "serial.0", chardev, name });
}

/** The kernel's self-tests of its ciphers are a tenth of an emulated boot. */
const NO_SELFTESTS = "cryptomgr.notests";

const TSC_GUESS_KHZ = 2_000_000;
/** Linux' number of cmpxchg16b: bit 13 of word 4. */
const FEATURE_CX16 = 4 * 32 + 13;

export const SANDBOX = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";

/**
 * `panic=-1 reboot=t` turn a panic into a reset at once, and -no-reboot turns that into the end of
 * QEMU.
 */
export function kernelCommandLine(spec: BootSpec, options: CommandOptions): string {
  const own = [
    "console=ttyS0",
    "quiet",
    "panic=-1",
    "reboot=t",
    "net.ifnames=0",
    NO_SELFTESTS,
    ...(options.accelerator === "tcg" ? emulatedParameters(options) : []),
  ];
  return [...own, ...spec.kernelArgs].join(" ");
}

/**
 * Without `tsc_early_khz` the emulated timers make the kernel's own calibration of the time stamp counter fail now
 * and then, and the boot hangs for ever; a rough value is good enough for that.
 * The emulated counter is the host's. A kernel that checks it against timer interrupts, of which a busy host delivers
 * too few, discards it and counts these interrupts as its time: the clock loses seconds in a minute then, or gains
 * them where the kernel has calibrated their rate on the busy host.
 */
function emulatedClock(tsc_khz: number | undefined): string[] {
  if (tsc_khz === undefined) return [`tsc_early_khz=${TSC_GUESS_KHZ}`];
  return [`tsc_early_khz=${tsc_khz}`, "tsc=reliable"];
}

/**
 * Before version 8, QEMU's cmpxchg16b leaves a pointer where the flags should be: an interrupt right after it saves and
 * restores flags such as "single step" and "string operations go down", and the kernel, which allocates memory by it,
 * panics now and then on a busy host. The kernel is told that there is no such instruction; programs still see it.
 * By number, since kernels before 5.18 know no names there.
 */
function emulatedParameters({ tsc_khz, version }: CommandOptions): string[] {
  const isBroken = Number.parseInt(version, 10) < 8;
  return [...emulatedClock(tsc_khz), ...(isBroken ? [`clearcpuid=${FEATURE_CX16}`] : [])];
}

/** Those that a restore makes larger: name of the node, and size. */
export function grownDrives({ drives }: Pick<BootSpec, "drives">): [node: string, bytes: number][] {
  return drives.flatMap(({ grown_bytes }, index) =>
    grown_bytes === undefined ? [] : [[nodeOf(index), grown_bytes]],
  );
}

function nodeOf(index: number): string {
  return `disk${index}`;
}

function driveArguments(drive: Drive, index: number, fd: number | undefined): string[] {
  const node = nodeOf(index);
  const set = fd === undefined ? undefined : fileSet(fd);
  const mode: Record<string, string> = drive.readOnly
    ? { "read-only": "on" }
    : { "read-only": "off", discard: "unmap", "detect-zeroes": "unmap" };
  const blockdev = {
    driver: "raw",
    "node-name": node,
    ...mode,
    "file.driver": "file",
    "file.filename": set?.path ?? drive.path,
    "file.aio": "threads",
  };
  return [
    ...(set?.argv ?? []),
    ...["-blockdev", option(undefined, blockdev)],
    ...device("virtio-blk-device", { drive: node }),
  ];
}

function networkArguments(network: NetworkDevice, options: CommandOptions): string[] {
  const { cableFd, handed } = options;
  const user =
    cableFd === undefined
      ? option("user", { id: "net", ipv6: "off" })
      : option("stream", {
          id: "net",
          server: "off",
          "addr.type": "fd",
          "addr.str": String(cableFd),
        });
  const tap =
    network.kind === "tap" && handed?.tap === undefined
      ? option("tap", { id: "net", ifname: network.tap, script: "no", downscript: "no" })
      : option("tap", { id: "net", fd: String(handed?.tap) });
  const netdev = network.kind === "tap" ? tap : user;
  // With announcements by the guest, QEMU 7.2 crashes after a load without any, when the guest resets the device.
  const properties = { netdev: "net", mac: network.mac, guest_announce: "off" };
  return ["-netdev", netdev, ...device("virtio-net-device", properties)];
}

function device(driver: string, properties: Record<string, string>): string[] {
  return ["-device", option(driver, properties)];
}

/** "head,key=value,…". */
function option(head: string | undefined, properties: Record<string, string>): string {
  const parts = Object.entries(properties).map(([key, value]) => `${key}=${escapeValue(value)}`);
  return [...(head === undefined ? [] : [head]), ...parts].join(",");
}

/** A comma ends a value, and two commas stand for one. */
function escapeValue(value: string): string {
  return value.replaceAll(",", ",,");
}
