/** Snapshots of machines, and copies of machines that run. */
import { z } from "zod";
import { hostPath } from "./fields.ts";
import { portRequest, VM_PORTS_MAX } from "./network.ts";
import { bootMode, networkMode, snapshotName, vm, vmRef } from "./vm.ts";

export const snapshot = z.object({
  name: snapshotName,
  /** The machine's name when it was made. */
  machine: z.string(),
  /** The machine's id, which stays when it is renamed. */
  machineId: z.string(),
  /** The image's name when it was made. */
  image: z.string(),
  kernel: z.string(),
  mode: bootMode,
  cpus: z.int(),
  memory_mib: z.int(),
  disk_bytes: z.int(),
  network: networkMode,
  /** Whether it has the memory as well; a machine made from one that has not boots. */
  memory: z.boolean(),
  /** Of the VMM that the memory is for. */
  driver: z.string().optional(),
  createdAt: z.iso.datetime(),
  /** Id of the API token that made it. */
  token: z.string().optional(),
  /** Those of the machine when it was made. */
  labels: z.record(z.string(), z.string()).optional(),
  /** On disk. */
  size_bytes: z.int(),
});
export type Snapshot = z.infer<typeof snapshot>;

export const snapshotCreate = z.object({
  /** Of the machine. */
  name: vmRef,
  /** Made up when it is not given. */
  snapshot: snapshotName.optional(),
  /** Without the memory, although the machine runs. */
  diskOnly: z.boolean().optional(),
});

export const snapshotCreated = z.object({
  snapshot,
  /** How long the machine was paused; absent when it did not run. */
  pause_ms: z.number().optional(),
});
export type SnapshotCreated = z.infer<typeof snapshotCreated>;

export const snapshotExport = z.object({
  name: snapshotName,
  /** Of the archive; compressed with zstd if it ends in ".zst". */
  path: hostPath,
  /** Overwrites a file. */
  force: z.boolean().optional(),
});

export const snapshotExported = z.object({ path: z.string(), size_bytes: z.int() });

export const snapshotImport = z.object({
  path: hostPath,
  /** Default: the name that it was exported with. */
  name: snapshotName.optional(),
});

export const VM_FORKS_MAX = 64;

export const vmFork = z.object({
  name: vmRef,
  count: z.int().min(1).max(VM_FORKS_MAX).optional(),
  /** Names of the copies: "{}" stands for their number, which is appended where it is missing. Default: generated. */
  pattern: z.string().min(1).max(63).optional(),
  /** Ports of each copy; those of the source are not copied. */
  ports: z.array(portRequest).max(VM_PORTS_MAX).optional(),
});
export type VmFork = z.infer<typeof vmFork>;

export const vmForked = z.object({ machines: z.array(vm), pause_ms: z.number() });
export type VmForked = z.infer<typeof vmForked>;
