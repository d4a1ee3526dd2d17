/**
 * The contract between banger and a virtual machine monitor (VMM). A driver boots a machine
 * from a plain description, hands out the guest agent's byte stream, and tells when
 * and why the machine ended. It knows nothing of images, records or networks.
 */
import type { Duplex } from "node:stream";
import { z } from "zod";
import type { Check } from "#base/check.ts";

const driverNames = ["firecracker", "qemu"] as const;
export type DriverName = (typeof driverNames)[number];
const accelerators = ["kvm", "tcg"] as const;
export type Accelerator = (typeof accelerators)[number];

export interface Drive {
  /** Absolute path of a raw file. Drives become /dev/vda, /dev/vdb, … in order. */
  path: string;
  readOnly: boolean;
  /** To which it grows while the machine is restored, where `features.growsDrives` says so. The guest is told. */
  grown_bytes?: number | undefined;
  /** Of a volume: in a template an empty file of this size has its place. */
  volume_bytes?: number | undefined;
}

/** A directory of the host that the guest mounts by 9P: by the tag "share0", "share1", … in order. */
export interface Share {
  /** Absolute path. Neither a symlink nor ".." leads out of it. */
  path: string;
  readOnly: boolean;
}

export type NetworkDevice =
  /** `namespacePid`: a process in the user and network namespace that has the tap; absent: this process's. */
  | { kind: "tap"; tap: string; mac: string; namespacePid?: number | undefined }
  /** The driver's own user-mode stack; the guest is 10.0.2.15/24, gateway 10.0.2.2, DNS 10.0.2.3. */
  | { kind: "user"; mac: string };

/** Averages; 0 or absent: none. */
export interface DiskLimits {
  bytes_per_s?: number | undefined;
  operations_per_s?: number | undefined;
}

export interface BootSpec {
  /** Names the process and the sockets; `[a-z0-9-]`. */
  id: string;
  /** Existing private folder for the driver's sockets; its path is at most 80 bytes. */
  runtimeDir: string;
  /** File that the guest's console is appended to. */
  consolePath: string;
  /** File that the VMM's own stderr is appended to. */
  logPath: string;
  cpus: number;
  memory_mib: number;
  /** Uncompressed ELF (vmlinux) or bzImage. */
  kernelPath: string;
  initrdPath: string;
  /** Kernel parameters of the caller; the driver adds those that it needs itself. */
  kernelArgs: string[];
  drives: Drive[];
  /** Of each drive. */
  diskLimits?: DiskLimits | undefined;
  /** QEMU's alone. A machine with one cannot be saved: QEMU forgets which files its guest has open. */
  shares?: Share[] | undefined;
  network: NetworkDevice | undefined;
  /** Folder of an existing control group for the process. */
  cgroup?: string | undefined;
  /** The machine ends when this process does, however that ends; otherwise it runs on. */
  endsWithUs?: boolean | undefined;
}

/** A machine on disk, as `Machine.snapshot` has written it. Neither file is changed by a restore. */
export interface Snapshot {
  /** The whole memory, sparse. */
  memoryPath: string;
  /** Processors and devices. */
  statePath: string;
}

export interface SnapshotOptions {
  signal?: AbortSignal | undefined;
  /** Called when the machine is about to be paused. */
  onPause?: (() => void) | undefined;
}

/** What must be kept on disk to find a running machine again. JSON-safe. */
export const machineHandle = z.object({
  driver: z.enum(driverNames),
  accelerator: z.enum(accelerators),
  pid: z.int(),
  /** Field 22 of /proc/PID/stat, clock ticks since boot: tells a reused pid from ours. */
  startTime_ticks: z.int(),
  runtimeDir: z.string(),
});
export type MachineHandle = z.infer<typeof machineHandle>;

export type ExitReason =
  | { kind: "poweroff" }
  | { kind: "reboot" }
  /** `detail`: the console's last lines of this boot, up to the panic's own. */
  | { kind: "panic"; detail: string }
  | { kind: "killed" }
  /** The VMM failed by itself; `detail` holds the end of its stderr. */
  | { kind: "crashed"; detail: string }
  /** An adopted machine ended and nothing tells how. */
  | { kind: "unknown" };

export interface Machine {
  readonly handle: MachineHandle;
  /** Resolves once the process is gone. Never rejects. */
  readonly exited: Promise<ExitReason>;
  /** Opens the agent's byte stream. There is one at a time; a second call ends the first. */
  connectAgent(signal?: AbortSignal): Promise<Duplex>;
  /** Ends the process at once and waits until it is gone. Idempotent. */
  kill(): Promise<void>;
  /** Stops and continues the virtual CPUs; undefined where the driver cannot. */
  readonly pause?: () => Promise<void>;
  readonly resume?: () => Promise<void>;
  /** Puts each drive under other limits. */
  limitDisks(limits: DiskLimits): Promise<void>;
  /** Makes the drive of that file larger, and gives its place among the drives; undefined where the driver cannot. */
  readonly growDrive?: (path: string, size_bytes: number) => Promise<number>;
  /**
   * Pauses the machine and writes it to two new files, of mode 0600, without having them on the disk yet. Its
   * drives hold still then, for the caller to copy, and the agent's stream may be over. Then, and whenever this
   * fails, it is `resume` or `kill`.
   */
  readonly snapshot?: ((files: Snapshot, options?: SnapshotOptions) => Promise<void>) | undefined;
  /**
   * Presses the keys by which a guest reboots, for one whose agent is silent; undefined where there
   * is no keyboard. Nothing tells whether the guest heard it.
   */
  readonly sendCtrlAltDel?: (() => Promise<void>) | undefined;
  /** Lets go of the machine without touching it: the process goes on, `exited` never resolves. */
  release(): void;
}

/** What a driver can do, as values: callers adapt, drivers never pretend. */
export interface DriverFeatures {
  userNetwork: boolean;
  /** Machines run without KVM, slowly. Such a driver is taken where no other can be used. */
  emulation: boolean;
  /** The agent is reached over vsock, for which the guest's kernel needs modules of its own. */
  vsock: boolean;
  pause: boolean;
  snapshot: boolean;
  /** A drive of a machine that is restored can be larger than it was. */
  growsDrives: boolean;
  /** Absent: as many as the host has. */
  cpusMax?: number | undefined;
}

export interface Driver {
  readonly name: DriverName;
  /** The VMM's own name, for messages. */
  readonly title: string;
  readonly features: DriverFeatures;
  /** Whether its program is on this computer; says nothing of whether it can run machines. */
  isInstalled(): boolean;
  /** What is in the way of every machine although it is installed; undefined: nothing. */
  readonly obstacle?: (() => { why: string; hint: string } | undefined) | undefined;
  /** What doctor reports of this driver on this host. */
  checks(): Promise<Check[]>;
  /** Starts a machine. On failure or abort nothing is left: no process, no socket. */
  boot(spec: BootSpec, signal?: AbortSignal): Promise<Machine>;
  /**
   * What a snapshot depends on beside its `BootSpec`: program, version, accelerator, processor. One is
   * restored only where this is the same. Undefined where `features.snapshot` is false.
   */
  readonly snapshotKey?: (() => Promise<string>) | undefined;
  /**
   * Starts a machine from a snapshot: `spec` has the processors, memory and order of devices of the machine
   * that it was made of; paths, tap and sockets are its own. On failure or abort nothing is left. `integrity`
   * where the snapshot is refused; another failure says nothing of it.
   */
  readonly restore?:
    | ((spec: BootSpec, snapshot: Snapshot, signal?: AbortSignal) => Promise<Machine>)
    | undefined;
  /** Takes over a machine that an earlier process started; undefined if it no longer runs. */
  adopt(handle: MachineHandle): Promise<Machine | undefined>;
  /**
   * Ends whatever runs on `runtimeDir` when its handle was never written down, and removes its
   * sockets. True if there was one.
   */
  killOrphan(runtimeDir: string): Promise<boolean>;
}
