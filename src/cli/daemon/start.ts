/** Starts the daemon as a separate process and waits until it answers. */
import { closeSync, mkdirSync, openSync } from "node:fs";
import { dirname } from "node:path";
import type { DaemonStatus } from "#api/system.ts";
import { BangerError, errorCodes } from "#base/error.ts";
import { selfCommand } from "#base/self-command.ts";
import { daemonEnvironment } from "#config/environment.ts";
import type { Paths } from "#config/paths.ts";
import { locate, wake } from "./locate.ts";
import { formatLogLine, lastLines, sizeOf } from "./log-lines.ts";
import { daemonStatus } from "./status.ts";
import { startUnit } from "./unit.ts";

/** Reconciling many machines takes a while; a daemon that is not there by then hangs. */
const READY_TIMEOUT_MS = 180_000;
const RETRY_MIN_MS = 4;
const RETRY_MAX_MS = 50;
const GIVE_WAY_MS = 100;
const SHOWN_LINES = 10;

/**
 * One that runs already is waited for instead. Throws `unavailable` with the daemon's last words when it
 * ends at once.
 */
export async function startDaemon(paths: Paths, signal: AbortSignal): Promise<DaemonStatus> {
  const holder = locate(paths);
  const found = holder && (await wake(paths, holder, signal));
  if (found) return found;
  if (await startUnit(paths, signal)) {
    locate(paths);
    const status = await daemonStatus(paths, signal);
    if (status) return status;
  }
  const logged = sizeOf(paths.daemonLog);
  const deadline_ms = performance.now() + READY_TIMEOUT_MS;
  let child = spawnDaemon(paths);
  let giveWay_ms = GIVE_WAY_MS;
  for (let wait_ms = RETRY_MIN_MS; ; wait_ms = Math.min(wait_ms * 2, RETRY_MAX_MS)) {
    const hasEnded = child.exitCode !== null || child.signalCode !== null;
    locate(paths);
    const status = await daemonStatus(paths, signal);
    if (status) {
      // Another one was first. Ours must not wait at its start for that one to end.
      if (status.pid !== child.pid) child.kill("SIGKILL");
      child.unref();
      return status;
    }
    if (hasEnded && child.exitCode !== errorCodes.conflict.exit) throw died(paths, logged);
    if (performance.now() > deadline_ms) {
      throw new BangerError(
        "timeout",
        "Cannot start the daemon: it is running but does not answer",
        {
          hint: "Check the log: banger daemon logs",
        },
      );
    }
    if (hasEnded) {
      // It gave way to another one, which either starts at the same time or is just ending.
      const other = locate(paths);
      const answer = other && (await wake(paths, other, signal));
      if (answer) return answer;
      await Bun.sleep(giveWay_ms);
      giveWay_ms *= 2;
      child = spawnDaemon(paths);
      wait_ms = RETRY_MIN_MS;
    }
    await Promise.race([Bun.sleep(wait_ms), child.exited]);
  }
}

function spawnDaemon(paths: Paths) {
  mkdirSync(dirname(paths.daemonLog), { recursive: true, mode: 0o700 });
  const log = openSync(paths.daemonLog, "a", 0o600);
  try {
    return Bun.spawn([...selfCommand(), "daemon", "run", "--restarts", "0"], {
      // A session of its own, so that ^C in this terminal is not for the daemon.
      detached: true,
      // It must not keep the folder busy that it happens to be started in.
      cwd: "/",
      env: daemonEnvironment(),
      stdin: "ignore",
      stdout: log,
      stderr: log,
    });
  } finally {
    closeSync(log);
  }
}

function died(paths: Paths, logged: number): BangerError {
  const lines = lastLines(paths.daemonLog, SHOWN_LINES, logged).map(formatLogLine);
  const said = lines.length > 0 ? `; its log:\n  ${lines.join("\n  ")}` : "";
  return new BangerError("unavailable", `Cannot start the daemon: it exited immediately${said}`, {
    hint: "Show the full log with: banger daemon logs",
  });
}
