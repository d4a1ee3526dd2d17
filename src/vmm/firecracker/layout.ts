/**
 * Where everything of one machine is, as this process sees it and as Firecracker does. Plain, the
 * two are the same. In a jail Firecracker sees a root of its own, which is memory that lives as long
 * as its process: from here its sockets are reached through /proc/PID/root.
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import type { BootSpec } from "#vmm/driver.ts";

const VSOCK_NAME = "vsock.sock";

/** Paths as Firecracker sees them. */
export interface VmmPaths {
  apiSocket: string;
  vsock: string;
  kernel: string;
  initrd: string;
  drives: string[];
  metrics: string;
  log: string;
}

export interface HostFiles {
  apiSocket: string;
  vsock: string;
  /** Written by Firecracker without appending, so they are of one boot only. */
  metrics: string;
  log: string;
  notes: string;
  /** Where the jail is mounted, in a mount namespace of its own; empty as seen from here. */
  jail: string;
}

export function hostFiles(runtimeDir: string): HostFiles {
  return {
    apiSocket: join(runtimeDir, "api.sock"),
    vsock: join(runtimeDir, VSOCK_NAME),
    metrics: join(runtimeDir, "metrics"),
    log: join(runtimeDir, "vmm.log"),
    notes: join(runtimeDir, "firecracker.json"),
    jail: join(runtimeDir, "jail"),
  };
}

export function plainPaths(spec: BootSpec): VmmPaths {
  const { apiSocket, vsock, metrics, log } = hostFiles(spec.runtimeDir);
  const drives = spec.drives.map(({ path }) => path);
  return {
    apiSocket,
    vsock,
    metrics,
    log,
    drives,
    kernel: spec.kernelPath,
    initrd: spec.initrdPath,
  };
}

export function jailedPaths(spec: BootSpec): VmmPaths {
  return {
    apiSocket: jailedApiSocket(spec.runtimeDir),
    vsock: `/${VSOCK_NAME}`,
    kernel: "/kernel",
    initrd: "/initrd",
    drives: spec.drives.map((_, index) => `/disk${index}`),
    metrics: "/metrics",
    log: "/vmm.log",
  };
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
