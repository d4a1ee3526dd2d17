/** Locks of a state folder: flocks that the kernel drops with the process, however it ends. */
import { dlopen, FFIType } from "bun:ffi";
import { closeSync, constants, ftruncateSync, mkdirSync, openSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { BangerError, throwIfAborted } from "#base/error.ts";
import { type Holder, holderText, lastHolder } from "#config/holder.ts";

const LOCK_SH = 1;
const LOCK_EX = 2;
const LOCK_NB = 4;
/** Sweeping takes milliseconds. */
const RETRY_MS = 10;

export interface DaemonLock {
  /** Records in the lock's file where the daemon listens, and what restarts it. */
  publish(change: Partial<Pick<Holder, "socket" | "supervisor">>): void;
}

/** One daemon for one state folder. Throws `conflict` with the other's pid when there is one. The lock is held until the process ends. */
export function takeDaemonLock(path: string): DaemonLock {
  const fd = openLock(path);
  if (!tryFlock(fd, LOCK_EX)) {
    const pid = lastHolder(path)?.pid ?? "unknown";
    closeSync(fd);
    throw new BangerError(
      "conflict",
      `Cannot start the daemon: one is running already (pid ${pid})`,
      {
        hint: "See it with: banger daemon status",
      },
    );
  }
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

/** Until disposed of, nobody takes what is half-made for left behind. Waits while somebody sweeps. */
export async function holdWork(path: string, signal?: AbortSignal): Promise<Disposable> {
  const fd = openLock(path);
  while (!tryFlock(fd, LOCK_SH)) {
    if (signal?.aborted) closeSync(fd);
    throwIfAborted(signal);
    await Bun.sleep(RETRY_MS);
  }
  return { [Symbol.dispose]: () => closeSync(fd) };
}

/** Until disposed of, no other process begins work; undefined when one is at work now. */
export function tryStopWork(path: string): Disposable | undefined {
  const fd = openLock(path);
  if (tryFlock(fd, LOCK_EX)) return { [Symbol.dispose]: () => closeSync(fd) };
  closeSync(fd);
  return undefined;
}

function openLock(path: string): number {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  return openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600);
}

let libc: { symbols: { flock: (fd: number, operation: number) => number } } | undefined;

function tryFlock(fd: number, operation: number): boolean {
  libc ??= dlopen("libc.so.6", {
    flock: { args: [FFIType.i32, FFIType.i32], returns: FFIType.i32 },
  });
  return libc.symbols.flock(fd, operation | LOCK_NB) === 0;
}
