/** The daemon's state, asked without starting it. */
import { readFileSync } from "node:fs";
import { type DaemonVersion, VERSION_PATH } from "#api/exec-constants.ts";
import type { DaemonStatus } from "#api/system.ts";
import { BangerError } from "#base/error.ts";
import type { Paths } from "#config/paths.ts";
import { connect } from "#sdk/client.ts";
import { fromRpc } from "#sdk/errors.ts";

const END_TIMEOUT_MS = 60_000;
const RETRY_MS = 20;

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

/** Asks the daemon to end and waits until it has; gives its last status, undefined when none ran. */
export async function endDaemon(
  paths: Paths,
  signal: AbortSignal,
): Promise<DaemonStatus | undefined> {
  const status = await daemonStatus(paths, signal);
  if (!status) return undefined;
  await connect({ socket: paths.socket }).system.shutdown(undefined, { signal });
  const deadline_ms = performance.now() + END_TIMEOUT_MS;
  while (isAlive(status.pid)) {
    signal.throwIfAborted();
    if (performance.now() > deadline_ms) {
      throw new BangerError("timeout", `Cannot end the daemon: process ${status.pid} goes on`, {
        hint: `End it at once with: kill -KILL ${status.pid}`,
      });
    }
    await Bun.sleep(RETRY_MS);
  }
  return status;
}

/** A process that has ended counts as gone, also while nobody has asked for its exit status. */
function isAlive(pid: number): boolean {
  try {
    // The state follows the name, which may hold anything, in parentheses.
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return !/^[ZX]/.test(stat.slice(stat.lastIndexOf(")") + 2));
  } catch {
    return false;
  }
}
