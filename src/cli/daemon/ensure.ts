import { version } from "#base/version.ts";
import type { Paths } from "#config/paths.ts";
import { type Client, connect } from "#sdk/client.ts";
import { daemonStatus } from "./status.ts";

interface EnsureOptions {
  note(text: string): void;
  signal: AbortSignal;
}

/** A client of a daemon that answers; started if there is none. Says so when it is of another version. */
export async function ensureDaemon(paths: Paths, { note, signal }: EnsureOptions): Promise<Client> {
  const status = (await daemonStatus(paths, signal)) ?? (await start(paths, signal));
  if (status.version !== version.version || status.commit !== version.commit) {
    note(
      `note: the daemon is banger ${status.version} (${status.commit}), this is ${version.version} (${version.commit}); change it with: banger daemon restart`,
    );
  }
  return connect({ socket: paths.socket });
}

async function start(paths: Paths, signal: AbortSignal) {
  const { startDaemon } = await import("./start.ts");
  return await startDaemon(paths, signal);
}
