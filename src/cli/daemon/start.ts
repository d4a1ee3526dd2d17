/** Starts the daemon as a process of its own, and waits until it answers. */
import { closeSync, mkdirSync, openSync } from "node:fs";
import { dirname } from "node:path";
import { BangerError, errorCodes } from "#base/error.ts";
import { daemonEnvironment } from "#config/environment.ts";
import type { Paths } from "#config/paths.ts";
import { formatLogLine, lastLines, sizeOf } from "./log-lines.ts";
import { isListening } from "./probe.ts";
import { selfCommand } from "./self.ts";

/** Reconciling many machines takes a while; a daemon that is not there by then hangs. */
const READY_TIMEOUT_MS = 60_000;
const RETRY_MIN_MS = 4;
const RETRY_MAX_MS = 50;
const SHOWN_LINES = 10;

/** Throws `unavailable` with the daemon's last words when it ends instead. */
export async function startDaemon(paths: Paths): Promise<void> {
  const logged = sizeOf(paths.daemonLog);
  const child = spawnDaemon(paths);
  const deadline_ms = performance.now() + READY_TIMEOUT_MS;
  for (let wait_ms = RETRY_MIN_MS; ; wait_ms = Math.min(wait_ms * 2, RETRY_MAX_MS)) {
    if (await isListening(paths.socket)) break;
    if (isDead(child.exitCode, child.signalCode)) throw died(paths, logged);
    if (performance.now() > deadline_ms) {
      throw new BangerError("timeout", "Cannot start the daemon: it runs and does not answer", {
        hint: "See what it says with: banger daemon logs",
      });
    }
    await Promise.race([Bun.sleep(wait_ms), child.exited]);
    // Two that start at once: one of them gives way to the other, which is waited for.
    if (child.exitCode === errorCodes.conflict.exit) await Bun.sleep(RETRY_MAX_MS);
  }
  child.unref();
}

function isDead(exitCode: number | null, signal: unknown): boolean {
  return signal !== null || (exitCode !== null && exitCode !== errorCodes.conflict.exit);
}

function spawnDaemon(paths: Paths) {
  mkdirSync(dirname(paths.daemonLog), { recursive: true, mode: 0o700 });
  const log = openSync(paths.daemonLog, "a", 0o600);
  try {
    return Bun.spawn([...selfCommand(), "daemon", "run"], {
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
  const said = lines.length > 0 ? `; it said:\n  ${lines.join("\n  ")}` : "";
  return new BangerError("unavailable", `Cannot start the daemon: it ended at once${said}`, {
    hint: "See all of its log with: banger daemon logs",
  });
}
