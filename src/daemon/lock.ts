/** Locks of a state directory: flocks, which the kernel drops with the process. */
import { closeSync, constants, ftruncateSync, mkdirSync, openSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { throwIfAborted } from "#base/abort.ts";
import { BangerError } from "#base/error.ts";
import { tryLock } from "#base/libc.ts";
import { type Holder, holderText, lastHolder, liveSupervisor } from "#config/holder.ts";

/** Sweeping takes milliseconds. */
const RETRY_MS = 10;

export interface DaemonLock {
  /** Records in the lock's file where the daemon listens, and what restarts it. */
  publish(change: Partial<Pick<Holder, "socket" | "supervisor">>): void;
}

/** One daemon for one state folder. Throws `conflict` with the other's pid when there is one. The lock is held until the process ends. */
export function takeDaemonLock(path: string): DaemonLock {
  const fd = openLock(path);
  if (!tryLock(fd)) {
    const pid = lastHolder(path)?.pid ?? "unknown";
    closeSync(fd);
    throw new BangerError("conflict", `Cannot start the daemon: already running (PID ${pid})`, {
      hint: "Show its status with: banger daemon status",
    });
  }
  endSupervisor(path);
  let holder: Holder = { pid: process.pid, socket: undefined };
  const write = (): void => {
    const text = holderText(holder);
    // In place, since somebody may read it meanwhile.
    writeSync(fd, text, 0);
    ftruncateSync(fd, Buffer.byteLength(text));
  };
  ftruncateSync(fd, 0);
  write();
  return {
    publish(change) {
      holder = { ...holder, ...change };
      write();
    },
  };
}

/** The daemon before was killed, and a command was faster than what restarts it. */
function endSupervisor(path: string): void {
  const supervisor = liveSupervisor(path);
  if (supervisor === undefined || supervisor === process.pid) return;
  try {
    process.kill(supervisor, "SIGTERM");
  } catch {
    // It has ended meanwhile.
  }
}

/** Until disposed of, nobody takes what is half-made for left behind. Waits while somebody sweeps. */
export async function holdWork(path: string, signal?: AbortSignal): Promise<Disposable> {
  const fd = openLock(path);
  while (!tryLock(fd, "shared")) {
    if (signal?.aborted) closeSync(fd);
    throwIfAborted(signal);
    await Bun.sleep(RETRY_MS);
  }
  return { [Symbol.dispose]: () => closeSync(fd) };
}

/** Until disposed of, no other process begins work; undefined when one is at work now. */
export function tryStopWork(path: string): Disposable | undefined {
  const fd = openLock(path);
  if (tryLock(fd)) return { [Symbol.dispose]: () => closeSync(fd) };
  closeSync(fd);
  return undefined;
}

function openLock(path: string): number {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  return openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600);
}
