/** banger, as one caller may use it. */
import type { ExecOpen } from "#api/exec.ts";
import type { Client } from "#sdk/client.ts";
import type { ExecConnection, ExecOptions } from "#sdk/exec.ts";

export interface Backend {
  readonly client: Client;
  exec(open: ExecOpen, options?: ExecOptions): ExecConnection;
}

/** What every request needs besides its caller. */
export interface RequestInfo {
  /** Authority of the server as the client sees it, "127.0.0.1:7777". */
  host: string;
  signal: AbortSignal;
}
