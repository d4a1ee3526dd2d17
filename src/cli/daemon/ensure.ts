import { version } from "#base/version.ts";
import type { Paths } from "#config/paths.ts";
import { type Client, connect } from "#sdk/client.ts";
import { isDaemonDown } from "./probe.ts";

interface Notes {
  note(text: string): void;
}

/** A client of a daemon that answers; started if there is none. Says so when it is of another version. */
export async function ensureDaemon(paths: Paths, output: Notes): Promise<Client> {
  const client = connect({ socket: paths.socket });
  const status = await statusOf(client, paths);
  if (status.version !== version.version || status.commit !== version.commit) {
    output.note(
      `note: the daemon is banger ${status.version} (${status.commit}), this is ${version.version} (${version.commit}); change it with: banger daemon restart`,
    );
  }
  return client;
}

async function statusOf(client: Client, paths: Paths) {
  try {
    return await client.system.status();
  } catch (error) {
    if (!isDaemonDown(error)) throw error;
    const { startDaemon } = await import("./start.ts");
    await startDaemon(paths);
    return await client.system.status();
  }
}
