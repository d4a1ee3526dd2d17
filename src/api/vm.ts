/** Machines, as every client sees them. */
import { z } from "zod";
import { COMMAND_MAX_BYTES } from "./exec-constants.ts";
import { serviceCheck } from "./health.ts";
import { guestOptions, MOUNTS_MAX, share, volumeMount } from "./mount/mount.ts";
import {
  MACHINE_NETWORKS_MAX,
  networkName,
  policy,
  portRequest,
  publishedPort,
  VM_PORTS_MAX,
} from "./network.ts";
import { machineSecret, machineSecretRequests } from "./secrets/secret.ts";
import { sshAgent } from "./secrets/ssh-agent.ts";

export const VM_NAME_MAX_LENGTH = 63;

/** A DNS label, since a machine is reached as `<name>.vm`. */
export const vmName = labelNamed("machine");

/** As machines are named. */
export const snapshotName = labelNamed("snapshot");

function labelNamed(what: string) {
  return z
    .string()
    .max(VM_NAME_MAX_LENGTH)
    .regex(/^[a-z]([a-z0-9-]*[a-z0-9])?$/, {
      error: `${what} names can contain lower-case letters, digits and dashes, start with a letter, and end with a letter or digit`,
    });
}

export const vmState = z.enum([
  "creating",
  "stopped",
  "starting",
  "running",
  "paused",
  "suspending",
  "suspended",
  "waking",
  "stopping",
  "removing",
]);
export type VmState = z.infer<typeof vmState>;

export const networkMode = z.enum(["nat", "host", "user", "none"]);
export type NetworkMode = z.infer<typeof networkMode>;

/** Which VMM runs a machine (older clients know the field as "monitor", so it keeps that name); `auto`: Firecracker where it can, QEMU elsewhere. */
export const monitor = z.enum(["auto", "firecracker", "qemu"]);
export type VmmChoice = z.infer<typeof monitor>;

/** `systemd`: the image's own init, installed if it has none; `direct`: the agent stays PID 1. */
export const bootMode = z.enum(["direct", "systemd"]);
export type BootMode = z.infer<typeof bootMode>;
export const createMode = z.enum(["auto", ...bootMode.options]);

export const entrypoint = z.array(z.string().max(4096)).max(64);

/** How a machine's command runs. */
const commandOptions = z.object({
  user: z.string().min(1).max(256).optional(),
  cwd: z.string().min(1).max(4096).optional(),
  terminal: z.boolean().optional(),
});

/** When a machine that ended by itself is started again; one that a user ended never is. */
export const restartPolicy = z.enum(["no", "on-failure", "always"]);

export const VM_TTL_MIN_MS = 1000;
export const VM_TTL_MAX_MS = 10 * 365 * 24 * 3600 * 1000;

/** As hostname(7) has it, at most 64 bytes as the kernel takes. */
export const hostName = z
  .string()
  .max(64)
  .regex(/^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$/, {
    error: "hostnames can contain letters, digits, dashes and dots",
  });

export const VM_LABELS_MAX = 64;
export const labelName = z
  .string()
  .max(128)
  .regex(/^[A-Za-z0-9][A-Za-z0-9._/-]*$/, {
    error: "label names can contain letters, digits, dots, slashes, dashes and underscores",
  });
const labelValue = z.string().max(1024);
export const labels = z
  .record(labelName, labelValue)
  .refine((all) => Object.keys(all).length <= VM_LABELS_MAX, {
    error: `too many labels: more than ${VM_LABELS_MAX}`,
  });

/** What a change to a running machine may have to wait for its next start with. */
export const pendingSetting = z.enum(["cpus", "memory", "disk", "env", "hostname", "name"]);
export type PendingSetting = z.infer<typeof pendingSetting>;

export const vmExit = z.object({
  reason: z.enum(["poweroff", "reboot", "panic", "killed", "crashed", "unknown"]),
  /** Of the command that the machine was for, as a shell has it. */
  status: z.int().optional(),
  /** The monitor's last words, or the console's last lines after a panic. */
  detail: z.string().optional(),
  at: z.iso.datetime(),
});
export type VmExit = z.infer<typeof vmExit>;

export const VM_CPUS_MAX = 64;
export const VM_MEMORY_MIN_MIB = 64;
export const VM_MEMORY_MAX_MIB = 1024 * 1024;
export const VM_DISK_MIN_BYTES = 16 * 1024 * 1024;
export const VM_DISK_MAX_BYTES = 16 * 1024 ** 4;
/** With less a guest is out of reach. */
export const VM_NET_MIN_BYTES_PER_S = 1024;
/** What the kernel's queues can count. */
export const VM_NET_MAX_BYTES_PER_S = 16 * 1024 ** 3;
const netBytes = z.union([
  z.literal(0),
  z.int().min(VM_NET_MIN_BYTES_PER_S).max(VM_NET_MAX_BYTES_PER_S),
]);

/** Averages. 0, the default: none. */
export const vmLimits = z.object({
  /** Bytes a second that each of its disks reads and writes. */
  disk_bytes_per_s: z.int().min(0).max(VM_DISK_MAX_BYTES).optional(),
  /** Reads and writes a second of each of its disks. */
  disk_operations_per_s: z.int().min(0).max(1_000_000_000).optional(),
  /** Bytes a second that it receives from its network; only with `nat` and `host`. */
  net_in_bytes_per_s: netBytes.optional(),
  /** Bytes a second that it sends. */
  net_out_bytes_per_s: netBytes.optional(),
});
export type VmLimits = z.infer<typeof vmLimits>;

export const vm = z.object({
  id: z.string(),
  name: vmName,
  state: vmState,
  /** The image's name when the machine was made. */
  image: z.string(),
  /** Its name, or "image:NAME" where the file that came with an image is booted. */
  kernel: z.string(),
  mode: bootMode,
  /** What it runs, in direct mode; absent: nothing of its own. */
  command: z.array(z.string()).optional(),
  cpus: z.int(),
  memory_mib: z.int(),
  /** Apparent size of the writable layer; it is sparse. */
  disk_bytes: z.int(),
  /** Absent: none. */
  limits: vmLimits.optional(),
  network: z.object({
    mode: networkMode,
    /** Such as "10.241.0.2"; absent where the monitor has a network of its own. */
    address: z.string().optional(),
    /** While it runs, where it has IPv6. */
    address6: z.string().optional(),
    mac: z.string().optional(),
    /** Open while it runs. */
    ports: z.array(publishedPort).optional(),
    /** Named networks: the machines on one reach each other. */
    networks: z.array(networkName).optional(),
    /** Absent: it may reach everything that its mode lets it. */
    policy: policy.optional(),
  }),
  /** Secrets that it may use, without their values. */
  secrets: z.array(machineSecret).optional(),
  /** It may have the user's ssh agent sign logins to these hosts. */
  sshAgent: sshAgent.optional(),
  /** Mounted in it. */
  volumes: z.array(volumeMount).optional(),
  /** Directories of the host. */
  shares: z.array(share).optional(),
  guest: guestOptions.optional(),
  /** Absent: as the configuration says. */
  monitor: monitor.optional(),
  vmm: z.object({ driver: z.string(), accelerator: z.string(), pid: z.int() }).optional(),
  /** Key of the template that it was restored from, while it runs. Absent: it has booted. */
  template: z.string().optional(),
  /** Name of the snapshot that it was created from. */
  snapshot: z.string().optional(),
  /** Name of the running machine that it was a copy of. */
  forkOf: z.string().optional(),
  /** The process that runs it in place of the daemon. */
  foreground: z.object({ pid: z.int() }).optional(),
  /** Id of the API token that made it, which may be revoked by now. */
  token: z.string().optional(),
  /** Services that its image, or the configuration, says to look for; as they were last. */
  checks: z.array(serviceCheck).optional(),
  createdAt: z.iso.datetime(),
  /** Default: its name. */
  hostname: z.string().optional(),
  labels: z.record(z.string(), z.string()).optional(),
  /** Changed while it ran: the machine has these from its next start on. */
  pending: z.array(pendingSetting).optional(),
  restart: restartPolicy.optional(),
  /** When it is removed, running or not. */
  expiresAt: z.iso.datetime().optional(),
  /** It is stopped when nobody has used it for this long. */
  idleStop_ms: z.int().optional(),
  /** It is suspended when nobody has used it for this long. */
  idleSuspend_ms: z.int().optional(),
  startedAt: z.iso.datetime().optional(),
  /** How the last run ended. */
  exit: vmExit.optional(),
  /** What the machine has to say of its last boot when it is not what was asked for. */
  warning: z.string().optional(),
});
export type Vm = z.infer<typeof vm>;

const variableName = z
  .string()
  .regex(/^[^=\0]+$/, { error: "invalid variable name" })
  .max(COMMAND_MAX_BYTES);
const variableValue = z.string().max(COMMAND_MAX_BYTES);
export const environment = z.record(variableName, variableValue);

export const vmCreate = z.object({
  /** Made up when it is not given. */
  name: vmName.optional(),
  /** An image's name or any reference; pulled when it is not here. Default: `default_image_name`. */
  image: z.string().min(1).max(1024).optional(),
  /** In place of an image: name of a snapshot, which it goes on from. Image, kernel and sizes are of that. */
  snapshot: snapshotName.optional(),
  /** Default: the image's kernel, then `default_kernel`. */
  kernel: z.string().min(1).max(255).optional(),
  /** Features that its kernel must have, "containers,wireguard"; a kernel that is here is chosen by them. */
  needs: z.string().min(1).max(1000).optional(),
  /** It can run machines with KVM: a kernel with the feature kvm-host, on QEMU. */
  nested: z.boolean().optional(),
  /** Default `auto`: direct where an image has neither an init system nor a way to install one. */
  mode: createMode.optional(),
  /**
   * In direct mode, instead of the image's own command; behind the image's entrypoint. [] for none. Its end is
   * the machine's. Without one, an image whose command is a bare shell runs nothing.
   */
  command: z
    .array(z.string().max(COMMAND_MAX_BYTES))
    .max(COMMAND_MAX_BYTES / 6)
    .optional(),
  /** Replaces the image's entrypoint; [] for none. */
  entrypoint: entrypoint.optional(),
  /** How the command runs; default: as the image says, and without a terminal. */
  commandOptions: commandOptions.optional(),
  cpus: z.int().min(1).max(VM_CPUS_MAX).optional(),
  memory_mib: z.int().min(VM_MEMORY_MIN_MIB).max(VM_MEMORY_MAX_MIB).optional(),
  disk_bytes: z.int().min(VM_DISK_MIN_BYTES).max(VM_DISK_MAX_BYTES).optional(),
  limits: vmLimits.optional(),
  network: networkMode.optional(),
  monitor: monitor.optional(),
  ports: z.array(portRequest).max(VM_PORTS_MAX).optional(),
  policy: policy.optional(),
  networks: z.array(networkName).max(MACHINE_NETWORKS_MAX).optional(),
  /** It has placeholders of them; the values are put in on the way out, for their hosts only. */
  secrets: machineSecretRequests.optional(),
  /** The user's ssh agent, for logins to these hosts only. */
  sshAgent: sshAgent.optional(),
  /** Those that do not exist are created. */
  volumes: z.array(volumeMount).max(MOUNTS_MAX).optional(),
  /** Directories of the host: only with QEMU. */
  shares: z.array(share).max(MOUNTS_MAX).optional(),
  guest: guestOptions.optional(),
  env: environment.optional(),
  hostname: hostName.optional(),
  labels: labels.optional(),
  restart: restartPolicy.optional(),
  /** Remove it, running or not, this long after it was made. */
  ttl_ms: z.int().min(VM_TTL_MIN_MS).max(VM_TTL_MAX_MS).optional(),
  /**
   * Stop it when no command, ssh, session or forwarded connection has been in it for this long;
   * 0, the default: never.
   */
  idleStop_ms: z.int().min(0).max(VM_TTL_MAX_MS).optional(),
  /** Suspend it in the same case; 0, the default: never. Of the two the shorter one counts. */
  idleSuspend_ms: z.int().min(0).max(VM_TTL_MAX_MS).optional(),
  /** Boot it as well; default true. */
  start: z.boolean().optional(),
});
export type VmCreate = z.infer<typeof vmCreate>;

/** Absent fields stay as they are; null takes a variable or label away. */
export const vmSettings = z.object({
  ...vmCreate.pick({
    cpus: true,
    memory_mib: true,
    restart: true,
    idleStop_ms: true,
    idleSuspend_ms: true,
    hostname: true,
    /** Absent ones stay as they are; they hold at once. */
    limits: true,
  }).shape,
  /** A disk only grows. */
  disk_bytes: vmCreate.shape.disk_bytes,
  env: z.record(variableName, variableValue.nullable()).optional(),
  labels: z.record(labelName, labelValue.nullable()).optional(),
  /** From when it was created; null: it stays. */
  ttl_ms: vmCreate.shape.ttl_ms.unwrap().nullable().optional(),
});
export type VmSettings = z.infer<typeof vmSettings>;

/** A machine by its name, its id, or an unambiguous beginning of the id. */
export const vmRef = z.string().min(1).max(VM_NAME_MAX_LENGTH);

export const logChunk = z.object({ text: z.string() });
