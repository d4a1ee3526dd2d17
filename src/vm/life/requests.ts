/** Options of requests to the lifecycle, and what it needs of the commands that machines run. */

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
