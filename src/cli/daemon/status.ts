/** Queries the daemon's state without starting it. */
import { type DaemonVersion, VERSION_PATH } from "#api/exec-constants.ts";
import type { DaemonStatus } from "#api/system.ts";
import { BangerError } from "#base/error.ts";
import type { Paths } from "#config/paths.ts";
import { connect } from "#sdk/client.ts";
import { fromRpc } from "#sdk/errors.ts";

/** Undefined when no daemon runs, or one that is ending. */
export async function daemonStatus(
  paths: Paths,
  signal: AbortSignal,
): Promise<DaemonStatus | undefined> {
  try {
    return await connect({ socket: paths.socket }).system.status(undefined, { signal });
  } catch (error) {
    if (error instanceof BangerError && error.code === "unavailable") return undefined;
    throw error;
  }
}

/** What the daemon is, which takes it no time to tell. Undefined as above. */
export async function daemonVersion(
  paths: Paths,
  signal: AbortSignal,
): Promise<DaemonVersion | undefined> {
  const { socket } = paths;
  // One that hangs is waited for: the time limit is the caller's signal.
  const transport = { unix: socket, timeout: false };
  try {
    const response = await fetch(`http://banger${VERSION_PATH}`, { signal, ...transport });
    if (response.ok) return (await response.json()) as DaemonVersion;
  } catch (error) {
    const failure = fromRpc(error, { socket, signal });
    if (failure.code === "unavailable") return undefined;
    throw failure;
  }
  // An older one has another way to tell.
  return await daemonStatus(paths, signal);
}
