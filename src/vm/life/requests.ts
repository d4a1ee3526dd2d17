/** Options of requests to the lifecycle, and what it needs of the commands that machines run. */
import type { BootOptions } from "./boot.ts";

export interface StopOptions {
  /** Default: the configuration's. */
  grace_ms?: number | undefined;
  signal?: AbortSignal | undefined;
}

export interface RemoveOptions {
  /** Ends it first when it runs. */
  force?: boolean | undefined;
  signal?: AbortSignal | undefined;
}

/** The commands that machines in direct mode were made for. */
export interface Commands {
  begin(id: string, signal?: AbortSignal): Promise<void>;
  resume(id: string): Promise<void>;
  stop(id: string, options: { grace_ms: number; signal?: AbortSignal | undefined }): Promise<void>;
}

export interface MakeOptions {
  /** Of another machine, copied. A machine with one is complete, and a start boots it as it is. */
  disk?: string;
  /** It is to be undone all the same when its first start fails. */
  isToBeUndone?: boolean;
  signal?: AbortSignal | undefined;
}

export interface StartOptions extends BootOptions {
  /** What is done first, in the same turn. */
  prepare?: () => Promise<void>;
}
