/** What a build asks of machines; the machines' own folder provides it. */
import type { NetworkMode } from "#api/vm.ts";
import type { WorkOptions } from "#images/pull.ts";

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
  /** All that the command gets, but for what every login has. */
  env: Readonly<Record<string, string>>;
  cwd: string;
  user: string | undefined;
  input?: Uint8Array | undefined;
}

export type RunStatus = { code: number } | { signal: string };

/** One machine of a stage, which is thrown away with what was not taken out of it. */
export interface BuildMachine extends AsyncDisposable {
  run(
    request: RunRequest,
    options: { onOutput: (bytes: Uint8Array) => void; signal?: AbortSignal | undefined },
  ): Promise<RunStatus>;
  /** A program of the build's own at `path`, on no disk. */
  place(path: string, content: Uint8Array, signal?: AbortSignal): Promise<void>;
  /** Extracts a tar over the root. */
  extract(tar: AsyncIterable<Uint8Array>, signal?: AbortSignal): Promise<void>;
  /** Ends what runs in it and calls `use` with its writable disk, which holds still meanwhile. */
  whileStill<T>(use: (disk: string) => Promise<T>, signal?: AbortSignal): Promise<T>;
}

export interface BuildMachines {
  start(request: MachineRequest, work: WorkOptions): Promise<BuildMachine>;
}
