/** banger, as one MCP client may use it. */
import type { ExecOpen } from "#api/exec.ts";
import type { TokenScope } from "#api/serve/caller.ts";
import type { ExecConnection, ExecOptions } from "#api/serve/exec-client.ts";
import type { BangerClient } from "#api/serve/mount.ts";

export interface Backend {
  /** Of a daemon that runs. */
  client(): Promise<BangerClient>;
  exec(open: ExecOpen, options?: ExecOptions): ExecConnection;
  scope: TokenScope;
  /**
   * Value of the label that its machines have: others do not exist for it. Undefined: the daemon decides by the
   * scope of its token.
   */
  owner: string | undefined;
}

export type Profile = "default" | "full";

export interface ServerSettings {
  profile: Profile;
  /** Of new machines, and the longest that they may ask for. */
  ttl_ms: number;
}

export const DEFAULT_TTL_MS = 8 * 3600 * 1000;
