/**
 * What the published package shows, in types that depend on nothing else. The classes give them from what the contract
 * of the API says, so that a field which is not of the contract does not compile.
 */

/** One report of long work: a pull, a boot, a build. The same `step` comes again while its numbers grow. */
export interface Progress {
  step: string;
  /** For people: "Downloading 4f3a…". */
  message: string;
  done?: number | undefined;
  total?: number | undefined;
  unit?: "bytes" | "items" | undefined;
  /** What a command of the step has printed since the last report. */
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

/** A port of the machine that is open on the host. */
export interface PortRequest {
  guestPort: number;
  /** Default: one that is free. */
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
  /** Of the command that the machine was for. */
  status?: number | undefined;
  detail?: string | undefined;
  at: string;
}

/** A machine as the daemon knows it. Times are ISO 8601 in UTC. */
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
  /** Key of the template that it was restored from. */
  template?: string | undefined;
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
  /** Of a symlink. */
  target?: string | undefined;
}

export interface DirectoryEntry extends FileInfo {
  name: string;
}

export interface FileChange {
  /** `ready`: from here on nothing is missed; `overflow`: something was. */
  kind: "ready" | "created" | "changed" | "attributes" | "removed" | "overflow";
  path: string;
  isFolder: boolean;
}

export interface FilesCopied {
  entries: number;
  size_bytes: number;
  /** Devices, pipes and sockets, which are not copied. */
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
  /** Whether it has the memory; a machine made from one without boots. */
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

/** A socket in the machine that listens. */
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

/** Counters count since the boot: a rate is the difference of two by `uptime_ms`. */
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

/** The machine's new state, or that it is gone. */
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

/** What every call takes. */
export interface CallOptions {
  /** Aborting it cancels the work in the daemon; the call throws `cancelled`. */
  signal?: AbortSignal | undefined;
}

export interface WorkOptions extends CallOptions {
  onProgress?: ((progress: Progress) => void) | undefined;
}

/** Sizes are bytes, or text such as "512M" and "2G"; durations are milliseconds, or text such as "90s" and "1h30m". */
export interface CreateOptions extends WorkOptions {
  /** Default: generated. */
  name?: string | undefined;
  kernel?: string | undefined;
  /** Default: "direct", without an init system; "auto" chooses by the image. */
  mode?: "auto" | "direct" | "systemd" | undefined;
  /** In direct mode: the machine ends with it. Default: none. */
  command?: string[] | undefined;
  cpus?: number | undefined;
  memory?: number | string | undefined;
  disk?: number | string | undefined;
  net?: NetworkMode | undefined;
  ports?: PortRequest[] | undefined;
  env?: Record<string, string> | undefined;
  labels?: Record<string, string> | undefined;
  hostname?: string | undefined;
  /** The machine is removed this long after it was made. */
  timeout?: number | string | undefined;
  /** It is suspended when nobody has used it for this long, and resumes when it is used. */
  idleSuspend?: number | string | undefined;
  /** Default: true. */
  start?: boolean | undefined;
}

export interface ExecOptions extends CallOptions {
  env?: Record<string, string> | undefined;
  cwd?: string | undefined;
  /** A name or number of the guest, with an optional ":group". Default: the image's. */
  user?: string | undefined;
  stdin?: string | Uint8Array | undefined;
  /** The command is ended after this long, and the call throws `timeout`. */
  timeout?: number | string | undefined;
  /** While its promise is pending, the command waits. */
  onStdout?: ((bytes: Uint8Array) => void | Promise<void>) | undefined;
  onStderr?: ((bytes: Uint8Array) => void | Promise<void>) | undefined;
  /** Of the output that is kept for the result. A command that prints more is ended: `limit_exceeded`. Default: "64M". */
  maxOutput?: number | string | undefined;
}

export interface ExecResult {
  /** As a shell has it: 128 and the signal's number for a command that a signal ended. */
  exitCode: number;
  /** Such as "KILL", of a command that a signal ended. */
  signal: string | undefined;
  /** Decoded as UTF-8; empty where `onStdout` took the output. */
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
  /** Gives the command a terminal of this size. */
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
