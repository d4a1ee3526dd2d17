/** Stops the daemon: with a request on its socket, or with a signal if it does not answer. */
import { readFileSync } from "node:fs";
import type { DaemonStatus } from "#api/system.ts";
import { BangerError } from "#base/error.ts";
import { liveSupervisor } from "#config/holder.ts";
import type { Paths } from "#config/paths.ts";
import { connect } from "#sdk/client.ts";
import { locate, sendSignal } from "./locate.ts";
import { daemonStatus } from "./status.ts";

/** A daemon that hangs is not asked for longer. */
const ANSWER_TIMEOUT_MS = 3_000;
const END_TIMEOUT_MS = 60_000;
const RETRY_MS = 20;

export interface Ended {
  pid: number;
  /** Undefined for one that did not answer. */
  status: DaemonStatus | undefined;
}

/** Waits until it has ended; undefined when none ran. */
export async function endDaemon(paths: Paths, signal: AbortSignal): Promise<Ended | undefined> {
  const holder = locate(paths);
  const status = await ask(signal, (limited) => daemonStatus(paths, limited));
  // After a kill one may be about to come back.
  const pid = status?.pid ?? holder?.pid ?? liveSupervisor(paths.daemonLock);
  if (pid === undefined) return undefined;
  const client = connect({ socket: paths.socket });
  const isAsked =
    status !== undefined &&
    (await ask(signal, (limited) => client.system.shutdown(undefined, { signal: limited })));
  if (!isAsked) sendSignal(pid, "SIGTERM");
  const deadline_ms = performance.now() + END_TIMEOUT_MS;
  while (isAlive(pid)) {
    signal.throwIfAborted();
    if (performance.now() > deadline_ms) {
      throw new BangerError("timeout", `Cannot stop the daemon: process ${pid} is still running`, {
        hint: `Kill it with: kill -KILL ${pid}`,
      });
    }
    await Bun.sleep(RETRY_MS);
  }
  return { pid, status };
}

/** Undefined when there is no answer in time. */
async function ask<T>(
  signal: AbortSignal,
  call: (limited: AbortSignal) => Promise<T>,
): Promise<T | undefined> {
  const limited = AbortSignal.any([signal, AbortSignal.timeout(ANSWER_TIMEOUT_MS)]);
  try {
    return await call(limited);
  } catch (error) {
    const isSilent = limited.aborted && !signal.aborted;
    const isGone = error instanceof BangerError && error.code === "unavailable";
    if (isSilent || isGone) return undefined;
    throw error;
  }
}

/** A zombie counts as gone. */
function isAlive(pid: number): boolean {
  try {
    // The state follows the name, which may hold anything, in parentheses.
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return !/^[ZX]/.test(stat.slice(stat.lastIndexOf(")") + 2));
  } catch {
    return false;
  }
}
