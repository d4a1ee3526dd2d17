import type { Paths } from "#config/paths.ts";
import { type Client, connect } from "#sdk/client.ts";
import { sayWhenSlow } from "./locate.ts";
import { noteOther } from "./other-version.ts";
import { daemonVersion } from "./status.ts";

interface EnsureOptions {
  note(text: string): void;
  signal: AbortSignal;
}

/** A client of a daemon that answers; started if there is none. Says so when it is of another version. */
export async function ensureDaemon(paths: Paths, { note, signal }: EnsureOptions): Promise<Client> {
  using _slow = sayWhenSlow(paths, note);
  noteOther((await daemonVersion(paths, signal)) ?? (await start(paths, signal)), note);
  return connect({ socket: paths.socket });
}

async function start(paths: Paths, signal: AbortSignal) {
  const { startDaemon } = await import("./start.ts");
  return await startDaemon(paths, signal);
}
