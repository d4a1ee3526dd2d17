/** The daemon's state, asked without starting it. */
import type { DaemonStatus } from "#api/system.ts";
import { BangerError } from "#base/error.ts";
import type { Paths } from "#config/paths.ts";
import { connect } from "#sdk/client.ts";
import { isDaemonDown, isListening } from "./probe.ts";

const END_TIMEOUT_MS = 60_000;
const RETRY_MS = 20;

/** Undefined when no daemon runs. */
export async function daemonStatus(paths: Paths): Promise<DaemonStatus | undefined> {
  try {
    return await connect({ socket: paths.socket }).system.status();
  } catch (error) {
    if (isDaemonDown(error)) return undefined;
    throw error;
  }
}

/** Asks the daemon to end and waits until it has; gives its last status, undefined when none ran. */
export async function endDaemon(
  paths: Paths,
  signal: AbortSignal,
): Promise<DaemonStatus | undefined> {
  const status = await daemonStatus(paths);
  if (!status) return undefined;
  await connect({ socket: paths.socket }).system.shutdown();
  const deadline_ms = performance.now() + END_TIMEOUT_MS;
  while ((await isListening(paths.socket)) || isAlive(status.pid)) {
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

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
