/** The interface of build machines, implemented with src/vm. */
import type { NetworkMode } from "#api/vm.ts";
import type { WorkOptions } from "#base/progress.ts";

/** On the machine's disk, beside the upper directory of its overlay. */
export const MOUNTS_FOLDER = "/mounts";

export interface MachineRequest {
  /** Of an existing image. */
  imageId: string;
  name: string;
  kernel: string | undefined;
  network: NetworkMode | undefined;
  cpus: number | undefined;
  memory_mib: number | undefined;
  disk_bytes: number | undefined;
}

export interface RunRequest {
  argv: readonly string[];
  /** The complete environment, except for a default HOME. */
  env: Readonly<Record<string, string>>;
  cwd: string;
  user: string | undefined;
  mounts: readonly RunMount[];
  /** False: a network namespace with loopback only. */
  hasNetwork: boolean;
}

/** Mounted in this order, for this command only. */
export type RunMount =
  /** `source` comes from `fill` or `relay`. */
  | { kind: "bind"; source: string; target: string; isReadOnly: boolean }
  /** tmpfs; size 0 is the kernel's default. */
  | { kind: "tmpfs"; target: string; size_bytes: number };

export type RunStatus = { code: number } | { signal: string };

/** One machine of a stage, removed when disposed of. */
export interface BuildMachine extends AsyncDisposable {
  run(
    request: RunRequest,
    options: { onOutput: (bytes: Uint8Array) => void; signal?: AbortSignal | undefined },
  ): Promise<RunStatus>;
  /**
   * Extracts a tar for mounts and returns the path of "data" in it: MOUNTS_FOLDER/`name` on the machine's disk, or a
   * directory in its memory.
   */
  fill(
    tar: AsyncIterable<Uint8Array>,
    options: { name: string; inMemory: boolean; signal?: AbortSignal | undefined },
  ): Promise<string>;
  /** Forwards a socket in the machine to one on the host, until disposed of. */
  relay(
    options: { hostPath: string; mode: number; uid: number; gid: number },
    signal?: AbortSignal,
  ): Promise<AsyncDisposable & { source: string }>;
  /** Removes content of `fill`. */
  drop(source: string, signal?: AbortSignal): Promise<void>;
  /** Extracts a tar over the root. */
  extract(tar: AsyncIterable<Uint8Array>, signal?: AbortSignal): Promise<void>;
  /** Kills its processes and calls `use` with its frozen writable disk. */
  whileFrozen<T>(use: (disk: string) => Promise<T>, signal?: AbortSignal): Promise<T>;
}

export interface BuildMachines {
  start(request: MachineRequest, work: WorkOptions): Promise<BuildMachine>;
}
