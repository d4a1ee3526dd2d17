/**
 * The public types of the package, without dependencies. The classes return them from the types of the API's contract,
 * so a field that the contract does not have fails to compile.
 */

import type { MountOptions, SharedDirectory, VolumeMount } from "./mounts.ts";

/** Progress of a pull, boot or build. The same `step` is reported again as its numbers grow. */
export interface Progress {
  step: string;
  /** Human-readable, such as "Downloading 4f3a…". */
  message: string;
  done?: number | undefined;
  total?: number | undefined;
  unit?: "bytes" | "items" | undefined;
  /** Output of the step's command since the last report. */
  lines?: string[] | undefined;
}

export type MachineState =
  | "creating"
  | "stopped"
  | "starting"
  | "running"
  | "paused"
  | "suspending"
  | "suspended"
  | "waking"
  | "stopping"
  | "removing";

export type NetworkMode = "nat" | "host" | "user" | "none";

/** A port of the machine that is published on the host. */
export interface PortRequest {
  guestPort: number;
  /** Default: a free port. */
  hostPort?: number | undefined;
  /** Default: "127.0.0.1". */
  hostAddress?: string | undefined;
  protocol?: "tcp" | "udp" | undefined;
}

export interface PublishedPort {
  guestPort: number;
  hostPort: number;
  hostAddress: string;
  protocol: "tcp" | "udp";
}

export interface MachineExit {
  reason: "poweroff" | "reboot" | "panic" | "killed" | "crashed" | "unknown";
  /** Exit status of the machine's command. */
  status?: number | undefined;
  detail?: string | undefined;
  at: string;
}

/** The state of a machine. Times are ISO 8601 in UTC. */
export interface MachineInfo {
  id: string;
  name: string;
  state: MachineState;
  image: string;
  kernel: string;
  mode: "direct" | "systemd";
  command?: string[] | undefined;
  cpus: number;
  memory_mib: number;
  disk_bytes: number;
  network: {
    mode: NetworkMode;
    address?: string | undefined;
    address6?: string | undefined;
    /** Open on the host while it runs. */
    ports?: PublishedPort[] | undefined;
  };
  /** Key of the template it was restored from. */
  template?: string | undefined;
  volumes?: VolumeMount[] | undefined;
  shares?: SharedDirectory[] | undefined;
  snapshot?: string | undefined;
  forkOf?: string | undefined;
  labels?: Record<string, string> | undefined;
  createdAt: string;
  startedAt?: string | undefined;
  /** When it is removed, running or not. */
  expiresAt?: string | undefined;
  exit?: MachineExit | undefined;
  warning?: string | undefined;
}

export interface FileInfo {
  kind: "file" | "directory" | "symlink" | "fifo" | "socket" | "character" | "block" | "unknown";
  mode: number;
  size_bytes: number;
  uid: number;
  gid: number;
  links: number;
  modifiedAt: string;
  /** Target of a symlink. */
  target?: string | undefined;
}

export interface DirectoryEntry extends FileInfo {
  name: string;
}

export interface FileChange {
  /** `ready`: all later changes are reported; `overflow`: some were lost. */
  kind: "ready" | "created" | "changed" | "attributes" | "removed" | "overflow";
  path: string;
  isFolder: boolean;
}

export interface FilesCopied {
  entries: number;
  size_bytes: number;
  /** Number of devices, pipes and sockets, which are not copied. */
  skipped: number;
  skippedNames: string[];
}

export interface SnapshotInfo {
  name: string;
  machine: string;
  image: string;
  kernel: string;
  mode: "direct" | "systemd";
  cpus: number;
  memory_mib: number;
  disk_bytes: number;
  network: NetworkMode;
  /** Whether it includes memory. A machine created from one without memory boots. */
  memory: boolean;
  createdAt: string;
  size_bytes: number;
}

export interface SessionInfo {
  name: string;
  vm: string;
  argv: string[];
  user?: string | undefined;
  terminal: boolean;
  state: "starting" | "running" | "ended" | "lost";
  pid?: number | undefined;
  startedAt: string;
  endedAt?: string | undefined;
  exit?: { code: number } | { signal: string } | undefined;
  outputStart_bytes: number;
  outputEnd_bytes: number;
  lost_bytes: number;
}

/** A listening socket in the machine. */
export interface ListeningSocket {
  protocol: "tcp" | "udp";
  address: string;
  port: number;
  uid: number;
  process?: { pid: number; name: string } | undefined;
}

export interface ProcessInfo {
  pid: number;
  parent: number;
  uid: number;
  state: string;
  cpu_ms: number;
  resident_bytes: number;
  started_uptime_ms: number;
  name: string;
  command: string;
}

/** Counters start at boot; a rate is the difference of two divided by that of `uptime_ms`. */
export interface MachineStats {
  name: string;
  uptime_ms: number;
  load_milli: number;
  processes: number;
  cpu: {
    count: number;
    user_ms: number;
    system_ms: number;
    idle_ms: number;
    iowait_ms: number;
    steal_ms: number;
  };
  memory: {
    total_bytes: number;
    available_bytes: number;
    free_bytes: number;
    cached_bytes: number;
    swapTotal_bytes: number;
    swapFree_bytes: number;
  };
  space: { total_bytes: number; used_bytes: number; available_bytes: number };
  host: { cpu_ms: number; resident_bytes: number; disk_bytes: number };
}

export interface ImageInfo {
  id: string;
  name: string;
  reference: string;
  digest: string;
  platform: string;
  kernel?: string | undefined;
  size_bytes: number;
  allocated_bytes: number;
  layers: number;
  createdAt: string;
}

export interface KernelInfo {
  name: string;
  distro: string;
  arch: string;
  version: string;
  digest: string;
  source: string;
  features: string[];
  size_bytes: number;
  importedAt: string;
}

/** A change of a machine's state, or its removal. */
export interface MachineEvent {
  at: string;
  id: string;
  name: string;
  state: MachineState | "removed";
  exit?: MachineExit | undefined;
}

export interface DaemonInfo {
  version: string;
  commit: string;
  builtAt: string;
  pid: number;
  startedAt: string;
  stateDir: string;
  machinesRunning: number;
  rss_bytes: number;
}

/** Options of every call. */
export interface CallOptions {
  /** Aborting it cancels the operation in the daemon; the call throws `cancelled`. */
  signal?: AbortSignal | undefined;
}

export interface WorkOptions extends CallOptions {
  onProgress?: ((progress: Progress) => void) | undefined;
}

/** Sizes are bytes, or text such as "512M" and "2G"; durations are milliseconds, or text such as "90s" and "1h30m". */
export interface CreateOptions extends WorkOptions, MountOptions {
  /** Default: generated. */
  name?: string | undefined;
  kernel?: string | undefined;
  /** Default: "direct", without an init system; "auto" chooses by the image. */
  mode?: "auto" | "direct" | "systemd" | undefined;
  /** Command in direct mode; the machine stops when it exits. Default: none. */
  command?: string[] | undefined;
  cpus?: number | undefined;
  memory?: number | string | undefined;
  disk?: number | string | undefined;
  net?: NetworkMode | undefined;
  ports?: PortRequest[] | undefined;
  env?: Record<string, string> | undefined;
  labels?: Record<string, string> | undefined;
  hostname?: string | undefined;
  /** Remove the machine this long after its creation. */
  timeout?: number | string | undefined;
  /** Suspend the machine after this idle time; the next use resumes it. */
  idleSuspend?: number | string | undefined;
  /** Default: true. */
  start?: boolean | undefined;
}

export interface ExecOptions extends CallOptions {
  env?: Record<string, string> | undefined;
  cwd?: string | undefined;
  /** Guest user name or ID, with an optional ":group". Default: the image's. */
  user?: string | undefined;
  stdin?: string | Uint8Array | undefined;
  /** Kill the command after this long; the call throws `timeout`. */
  timeout?: number | string | undefined;
  /** Back-pressure: while its promise is pending, no further output is read. */
  onStdout?: ((bytes: Uint8Array) => void | Promise<void>) | undefined;
  onStderr?: ((bytes: Uint8Array) => void | Promise<void>) | undefined;
  /** Limit of the output kept for the result. Exceeding it kills the command: `limit_exceeded`. Default: "64M". */
  maxOutput?: number | string | undefined;
}

export interface ExecResult {
  /** As in a shell: 128 plus the signal's number if a signal killed the command. */
  exitCode: number;
  /** The signal that killed the command, such as "KILL". */
  signal: string | undefined;
  /** Decoded as UTF-8; empty if `onStdout` is given. */
  stdout: string;
  stderr: string;
}

export interface TerminalSize {
  columns: number;
  rows: number;
}

export interface SpawnOptions extends CallOptions {
  env?: Record<string, string> | undefined;
  cwd?: string | undefined;
  user?: string | undefined;
  /** Run the command on a terminal of this size. */
  terminal?: TerminalSize | undefined;
  onStdout?: ((bytes: Uint8Array) => void | Promise<void>) | undefined;
  onStderr?: ((bytes: Uint8Array) => void | Promise<void>) | undefined;
}

export interface SessionOptions extends CallOptions {
  /** Default: generated. */
  name?: string | undefined;
  env?: Record<string, string> | undefined;
  cwd?: string | undefined;
  user?: string | undefined;
  terminal?: TerminalSize | undefined;
}

/** Where the daemon is. Default: BANGER_URL and BANGER_TOKEN, else the user's own daemon on its unix socket. */
export interface ConnectOptions {
  /** Path of the daemon's unix socket. */
  socket?: string | undefined;
  /** What `banger serve` prints, such as "http://127.0.0.1:7777". */
  url?: string | undefined;
  /** What `banger token create` prints. */
  token?: string | undefined;
}
