/**
 * Where everything of one machine is, as this process sees it and as Firecracker does. Plain, the
 * two are the same. In a jail Firecracker sees a root of its own, which is memory that lives as long
 * as its process: from here its sockets are reached through /proc/PID/root.
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import type { BootSpec, Snapshot } from "#vmm/driver.ts";

const VSOCK_NAME = "vsock.sock";

/** In a jail: where the files of a snapshot come in, and the folder where those of a new one go out. */
const JAILED_SNAPSHOT = { memoryPath: "/memory", statePath: "/state" };
export const JAILED_OUT = "/snapshot";

/**
 * Paths as Firecracker sees them. A snapshot keeps those of the drives and the vsock: they are relative to its
 * working directory, so that every machine that is restored has its own.
 */
export interface VmmPaths {
  apiSocket: string;
  vsock: string;
  kernel: string;
  initrd: string;
  drives: string[];
  log: string;
  /** What it is restored from. */
  snapshot: Snapshot | undefined;
}

export interface HostFiles {
  apiSocket: string;
  vsock: string;
  /** Written by Firecracker without appending, so it is of one boot only. */
  log: string;
  notes: string;
  /** Where the jail is mounted, in a mount namespace of its own; empty as seen from here. */
  jail: string;
}

export function hostFiles(runtimeDir: string): HostFiles {
  return {
    apiSocket: join(runtimeDir, "api.sock"),
    vsock: join(runtimeDir, VSOCK_NAME),
    log: join(runtimeDir, "vmm.log"),
    notes: join(runtimeDir, "firecracker.json"),
    jail: join(runtimeDir, "jail"),
  };
}

/** Its working directory is the runtime folder. */
export function plainPaths(spec: BootSpec, snapshot?: Snapshot): VmmPaths {
  const { apiSocket, log } = hostFiles(spec.runtimeDir);
  return {
    apiSocket,
    vsock: VSOCK_NAME,
    log,
    drives: spec.drives.map((_, index) => driveName(index)),
    kernel: spec.kernelPath,
    initrd: spec.initrdPath,
    snapshot,
  };
}

/** Its working directory is the root of the jail. */
export function jailedPaths(spec: BootSpec, snapshot?: Snapshot): VmmPaths {
  return {
    apiSocket: jailedApiSocket(spec.runtimeDir),
    vsock: VSOCK_NAME,
    kernel: "/kernel",
    initrd: "/initrd",
    drives: spec.drives.map((_, index) => driveName(index)),
    log: "/vmm.log",
    snapshot: snapshot && JAILED_SNAPSHOT,
  };
}

export function driveName(index: number): string {
  return `disk${index}`;
}

export function isDriveName(name: string): boolean {
  return /^disk\d+$/.test(name);
}

/** Where a jailed machine writes its snapshots: beside its logs, since memory does not fit everywhere. */
export function snapshotFolder(logPath: string): string {
  return `${logPath}.snapshot`;
}

/** Named after the runtime folder, so that the process can be found by its arguments alone. */
export function jailedApiSocket(runtimeDir: string): string {
  const digest = createHash("sha256").update(runtimeDir).digest("hex");
  return `/api-${digest.slice(0, 24)}.sock`;
}

export interface Sockets {
  api: string;
  vsock: string;
}

/** The sockets of a running machine, as paths for this process. */
export function socketsOf(runtimeDir: string, jailedPid: number | undefined): Sockets {
  const { apiSocket, vsock } = hostFiles(runtimeDir);
  if (jailedPid === undefined) return { api: apiSocket, vsock };
  const root = `/proc/${jailedPid}/root`;
  return { api: root + jailedApiSocket(runtimeDir), vsock: `${root}/${VSOCK_NAME}` };
}

/** Whether these are the arguments of the Firecracker (or its jailer) of this runtime folder. */
export function belongsTo(argv: readonly string[], runtimeDir: string): boolean {
  const value = argv[argv.lastIndexOf("--api-sock") + 1];
  const isNamed = argv.includes("--api-sock") && value !== undefined;
  return isNamed && [hostFiles(runtimeDir).apiSocket, jailedApiSocket(runtimeDir)].includes(value);
}
