/** What a build asks of machines; the machines' own folder provides it. */
import type { NetworkMode } from "#api/vm.ts";
import type { WorkOptions } from "#base/progress.ts";

/** On the machine's disk, beside the upper folder of its overlay. */
export const MOUNTS_FOLDER = "/mounts";

export interface MachineRequest {
  /** Of an image that is here. */
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
  /** All that the command gets, but for HOME where it has none. */
  env: Readonly<Record<string, string>>;
  cwd: string;
  user: string | undefined;
  mounts: readonly RunMount[];
  /** False: it has a loopback of its own and nothing else. */
  hasNetwork: boolean;
}

/** Mounted in this order, and only for the command. */
export type RunMount =
  /** `source` is what `fill` or `relay` gave. */
  | { kind: "bind"; source: string; target: string; isReadOnly: boolean }
  /** In memory; 0 is as much as the kernel gives. */
  | { kind: "tmpfs"; target: string; size_bytes: number };

export type RunStatus = { code: number } | { signal: string };

/** One machine of a stage, which is thrown away with what was not taken out of it. */
export interface BuildMachine extends AsyncDisposable {
  run(
    request: RunRequest,
    options: { onOutput: (bytes: Uint8Array) => void; signal?: AbortSignal | undefined },
  ): Promise<RunStatus>;
  /**
   * Extracts a tar beside the root, for mounts, and gives the path of "data" in it. Below `name` on the
   * machine's disk, where it lies as MOUNTS_FOLDER/name, or in its memory.
   */
  fill(
    tar: AsyncIterable<Uint8Array>,
    options: { name: string; inMemory: boolean; signal?: AbortSignal | undefined },
  ): Promise<string>;
  /** A socket whose connections come out at one of this computer, until it is disposed of. */
  relay(
    options: { hostPath: string; mode: number; uid: number; gid: number },
    signal?: AbortSignal,
  ): Promise<AsyncDisposable & { source: string }>;
  /** Removes what was filled. */
  drop(source: string, signal?: AbortSignal): Promise<void>;
  /** Extracts a tar over the root. */
  extract(tar: AsyncIterable<Uint8Array>, signal?: AbortSignal): Promise<void>;
  /** Ends what runs in it and calls `use` with its writable disk, which holds still meanwhile. */
  whileStill<T>(use: (disk: string) => Promise<T>, signal?: AbortSignal): Promise<T>;
}

export interface BuildMachines {
  start(request: MachineRequest, work: WorkOptions): Promise<BuildMachine>;
}
