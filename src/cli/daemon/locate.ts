/** Finds the running daemon's socket, also if XDG_RUNTIME_DIR has changed since it started. */
import type { DaemonStatus } from "#api/system.ts";
import { BangerError } from "#base/error.ts";
import { type Holder, lastHolder, liveHolder } from "#config/holder.ts";
import type { Paths } from "#config/paths.ts";
import { daemonStatus } from "./status.ts";

/** One that listens anew does so at once; one that begins may have much to look after. */
const ANSWER_TIMEOUT_MS = 120_000;
const RETRY_MS = 20;
/** After this the user is told what the command waits for. */
const WORD_MS = 700;
const START_WORD_MS = 10_000;

/** The process that is the daemon; from now on `paths` has the socket that it names. */
export function locate(paths: Paths): Holder | undefined {
  const holder = liveHolder(paths.daemonLock);
  if (holder?.socket) paths.socket = holder.socket;
  return holder;
}

/** The same for each command, so it takes no look at a process where nothing is unusual. */
export function pathsOfDaemon(paths: Paths): Paths {
  const { socket } = lastHolder(paths.daemonLock) ?? {};
  if (socket !== undefined && socket !== paths.socket) locate(paths);
  return paths;
}

/** Has a daemon whose socket is lost listen anew, and waits for its answer; undefined when it ends meanwhile. */
export async function wake(
  paths: Paths,
  holder: Holder,
  signal: AbortSignal,
): Promise<DaemonStatus | undefined> {
  const deadline_ms = performance.now() + ANSWER_TIMEOUT_MS;
  // Older ones know of no such thing, and a process that only just begins might end of it.
  if (holder.socket) sendSignal(holder.pid, "SIGHUP");
  while (locate(paths)?.pid === holder.pid) {
    const status = await daemonStatus(paths, signal);
    if (status) return status;
    if (performance.now() > deadline_ms) throw unreachable(paths, holder.pid);
    signal.throwIfAborted();
    await Bun.sleep(RETRY_MS);
  }
  return undefined;
}

/** Says after a moment which process is waited for, until disposed of. One that only just starts is given longer. */
export function sayWhenSlow(paths: Paths, note: (text: string) => void): Disposable {
  const before = lastHolder(paths.daemonLock)?.pid;
  const say = (pid: number): void => note(`Waiting for the daemon (PID ${pid}) ...`);
  let timer = setTimeout(() => {
    if (before !== undefined && liveHolder(paths.daemonLock)?.pid === before) return say(before);
    timer = setTimeout(() => {
      const pid = liveHolder(paths.daemonLock)?.pid;
      if (pid !== undefined) say(pid);
    }, START_WORD_MS);
  }, WORD_MS);
  return { [Symbol.dispose]: () => clearTimeout(timer) };
}

export function sendSignal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // It has ended, or is another user's, and then it does not answer either.
  }
}

function unreachable({ socket }: Paths, pid: number): BangerError {
  return new BangerError(
    "unavailable",
    `Cannot connect to the daemon: process ${pid} is running but does not answer on ${socket}`,
    { hint: "Restart it (machines keep running): banger daemon restart" },
  );
}
