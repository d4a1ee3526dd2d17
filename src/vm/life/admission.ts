/** Refuses a machine for which the host has no room, with the numbers, before anything is created. */
import { mkdirSync, readFileSync, statfsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { BangerError } from "#base/error.ts";
import { formatSize, KiB, MiB } from "#base/size.ts";
import type { VmRecord } from "#vm/records.ts";

/** What the host itself needs to stay usable. */
export const RESERVE_BYTES = 256 * MiB;
/** What a VMM takes besides its guest's memory. */
const MONITOR_BYTES = 32 * MiB;
/** Log, initrd, and the first writes to a new layer. */
export const SPACE_MIN_BYTES = 64 * MiB;

export interface HostRoom {
  /** Memory that programs can have without swapping. */
  memory_bytes: number;
  /** What running machines were promised and have not touched yet. */
  promised_bytes: number;
  disk_bytes: number;
}

export interface HostSize {
  cpus: number;
  memory_bytes: number;
  /** Of the file system that holds the machines. */
  disk_bytes: number;
}

export function hostSize(folder: string): HostSize {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const { blocks, bsize } = statfsSync(folder);
  const memory_bytes = fieldOf("/proc/meminfo", "MemTotal") ?? Number.MAX_SAFE_INTEGER;
  return { cpus: availableParallelism(), memory_bytes, disk_bytes: blocks * bsize };
}

interface WantedSize {
  cpus?: number | undefined;
  memory_mib?: number | undefined;
  disk_bytes?: number | undefined;
}

/** `limit_exceeded` for what this computer could not give even if nothing else ran on it, as each start would say. */
export function assertPossible(
  { cpus = 0, memory_mib = 0, disk_bytes = 0 }: WantedSize,
  host: HostSize,
  action = "create the machine",
): void {
  if (cpus > host.cpus) {
    throw new BangerError(
      "limit_exceeded",
      `Cannot ${action}: it needs ${cpus} CPUs, the host has ${host.cpus}`,
      { hint: "Use fewer CPUs with --cpus" },
    );
  }
  if (memory_mib > 0 && memoryOf(memory_mib) > host.memory_bytes - RESERVE_BYTES) {
    throw new BangerError(
      "limit_exceeded",
      `Cannot ${action}: it needs ${formatSize(memoryOf(memory_mib))} of memory, the host has ${formatSize(host.memory_bytes)}, ` +
        `of which ${formatSize(RESERVE_BYTES)} is reserved`,
      { hint: "Use less with --memory" },
    );
  }
  if (disk_bytes > host.disk_bytes) {
    throw new BangerError(
      "limit_exceeded",
      `Cannot ${action}: its disk can grow to ${formatSize(disk_bytes)}, the host's file system has ${formatSize(host.disk_bytes)}`,
      { hint: "Use a smaller --disk, or move the state directory with XDG_STATE_HOME" },
    );
  }
}

/** With what its VMM takes. */
function memoryOf(memory_mib: number): number {
  return memory_mib * MiB + MONITOR_BYTES;
}

/** `limit_exceeded` or `no_space`. */
export function assertFits(
  machines: readonly VmRecord[],
  { vm, folder }: { vm: VmRecord; folder: string },
): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const { bavail, bsize } = statfsSync(folder);
  assertRoom(vm, {
    memory_bytes: availableMemory(),
    promised_bytes: machines
      .filter(({ id, runtime }) => id !== vm.id && runtime !== undefined)
      .reduce((sum, each) => sum + untouched(each), 0),
    disk_bytes: bavail * bsize,
  });
}

export function assertRoom({ name, spec }: Pick<VmRecord, "name" | "spec">, room: HostRoom): void {
  if (room.disk_bytes < SPACE_MIN_BYTES) {
    throw new BangerError(
      "no_space",
      `Cannot start machine "${name}": not enough disk space: ${formatSize(room.disk_bytes)} free, ${formatSize(SPACE_MIN_BYTES)} needed`,
      { hint: "Free disk space, for example with: banger vm prune" },
    );
  }
  const wanted_bytes = memoryOf(spec.memory_mib);
  const free_bytes = Math.max(0, room.memory_bytes - room.promised_bytes - RESERVE_BYTES);
  if (wanted_bytes <= free_bytes) return;
  throw new BangerError(
    "limit_exceeded",
    `Cannot start machine "${name}": not enough memory: it needs ${formatSize(wanted_bytes)}, ${formatSize(free_bytes)} free ` +
      `(${formatSize(room.memory_bytes)} available, ${formatSize(room.promised_bytes)} committed to running machines, ${formatSize(RESERVE_BYTES)} reserved for the host)`,
    { hint: "Stop a machine, or use less with --memory" },
  );
}

function untouched({ spec, runtime }: VmRecord): number {
  const resident_bytes = runtime?.handle ? residentMemory(runtime.handle.pid) : 0;
  const { memory_mib } = spec.started ?? spec;
  return Math.max(0, memory_mib * MiB - resident_bytes);
}

function availableMemory(): number {
  return fieldOf("/proc/meminfo", "MemAvailable") ?? Number.MAX_SAFE_INTEGER;
}

export function residentMemory(pid: number): number {
  return fieldOf(`/proc/${pid}/status`, "VmRSS") ?? 0;
}

function fieldOf(path: string, name: string): number | undefined {
  try {
    const match = new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(readFileSync(path, "utf8"));
    return match ? Number(match[1]) * KiB : undefined;
  } catch {
    return undefined;
  }
}
