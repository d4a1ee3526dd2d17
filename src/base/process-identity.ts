/** Identifies a process by pid and start time, since pids are reused. */
import { readFileSync } from "node:fs";

export interface ProcessIdentity {
  pid: number;
  /** Field 22 of /proc/PID/stat, clock ticks since boot. */
  startTime_ticks: number;
}

/**
 * The identity of a running process; undefined when it is gone or only waits to be reaped. One whose first thread
 * has ended before the others still holds its files, and its locks on them.
 */
export function identify(pid: number): ProcessIdentity | undefined {
  const fields = readStat(pid);
  const state = fields?.[0];
  const startTime_ticks = Number(fields?.[19]);
  const isZombie = state === "Z" && Number(fields?.[17]) <= 1;
  if (!fields || isZombie || state === "X" || !Number.isSafeInteger(startTime_ticks)) {
    return undefined;
  }
  return { pid, startTime_ticks };
}

export function isRunning(process: ProcessIdentity): boolean {
  return identify(process.pid)?.startTime_ticks === process.startTime_ticks;
}

/** The arguments that a process was started with; empty when it is gone. */
export function argumentsOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").slice(0, -1);
  } catch {
    return [];
  }
}

/** The fields after the command name, which itself may hold blanks and parentheses. */
function readStat(pid: number): string[] | undefined {
  if (!Number.isSafeInteger(pid) || pid < 1) return undefined;
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    return text.slice(text.lastIndexOf(")") + 2).split(" ");
  } catch {
    return undefined;
  }
}
