/** Options of requests to the lifecycle, and what it needs of the commands that machines run. */
import type { FolderOptions } from "#vm/folder.ts";
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

/** A machine with a disk of another is complete, and a start boots it as it is. */
export interface MakeOptions extends FolderOptions {
  /** It is to be undone all the same when its first start fails. */
  isToBeUndone?: boolean;
}

export interface StartOptions extends BootOptions {
  /** What is done first, in the same turn. */
  prepare?: () => Promise<void>;
}
