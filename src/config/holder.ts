/** The daemon of a state directory, as its lock file names it: process and socket. */
import { readdirSync, readFileSync, readlinkSync, realpathSync, statSync } from "node:fs";
import { isAbsolute } from "node:path";
import { errnoOf } from "#base/error.ts";

const LOCK_FILE_MAX_BYTES = 4096;
const PID = /^[1-9]\d{0,9}$/;

export interface Holder {
  pid: number;
  /** Undefined for a daemon of an older version, which does not tell. */
  socket: string | undefined;
  /** The process that restarts it after a crash; undefined for none. */
  supervisor?: number | undefined;
}

export function holderText({ pid, socket, supervisor }: Holder): string {
  return `${[pid, socket, supervisor].filter((line) => line !== undefined).join("\n")}\n`;
}

/** Whoever took the lock last, whether or not it still runs. */
export function lastHolder(lock: string): Holder | undefined {
  let text: string;
  try {
    text = readFileSync(lock, "utf8").slice(0, LOCK_FILE_MAX_BYTES);
  } catch {
    return undefined;
  }
  const [pid = "", socket = "", supervisor = ""] = text.split("\n");
  if (!PID.test(pid)) return undefined;
  return {
    pid: Number(pid),
    socket: isAbsolute(socket) ? socket : undefined,
    ...(PID.test(supervisor) ? { supervisor: Number(supervisor) } : {}),
  };
}

/** The process that is about to restart a daemon which was killed; undefined when there is none. */
export function liveSupervisor(lock: string): number | undefined {
  const { pid, supervisor } = lastHolder(lock) ?? {};
  if (supervisor === undefined) return undefined;
  try {
    const words = readFileSync(`/proc/${supervisor}/cmdline`, "utf8").split("\0");
    // While it waits it names the lock and its holder; then it is the daemon, which has not taken the lock yet.
    const waits = words.includes(lock) && words.includes(String(pid));
    return waits || words.includes("--restarts") ? supervisor : undefined;
  } catch {
    return undefined;
  }
}

/** Undefined when the process of that number has ended, or is another one by now. */
export function liveHolder(lock: string): Holder | undefined {
  const holder = lastHolder(lock);
  return holder && hasOpen(holder.pid, lock) ? holder : undefined;
}

/** The daemon keeps its lock open until it ends, and hands it to no program that it starts. */
function hasOpen(pid: number, path: string): boolean {
  const folder = `/proc/${pid}/fd`;
  try {
    const real = realpathSync(path);
    return readdirSync(folder).some((fd) => linkOf(`${folder}/${fd}`) === real);
  } catch (error) {
    // Another user's: that it is there is all that can be known.
    return (
      errnoOf(error) === "EACCES" &&
      statSync(`/proc/${pid}`, { throwIfNoEntry: false }) !== undefined
    );
  }
}

function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}
