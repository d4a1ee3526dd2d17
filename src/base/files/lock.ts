/** flock(2): a lock on an open file that the kernel drops when its process ends, however it ends. */
import { dlopen } from "bun:ffi";

const LOCK_EX = 2;
const LOCK_NB = 4;
const LOCK_UN = 8;

const symbols = { flock: { args: ["i32", "i32"], returns: "i32" } } as const;

let flock: ((fd: number, operation: number) => number) | undefined;

/** False when another open file, of this process or another, holds the lock. */
export function tryLock(fd: number): boolean {
  return call(fd, LOCK_EX | LOCK_NB) === 0;
}

export function unlock(fd: number): void {
  call(fd, LOCK_UN);
}

function call(fd: number, operation: number): number {
  flock ??= load();
  return flock(fd, operation);
}

function load(): (fd: number, operation: number) => number {
  try {
    return dlopen("libc.so.6", symbols).symbols.flock;
  } catch {
    const arch = process.arch === "arm64" ? "aarch64" : "x86_64";
    return dlopen(`libc.musl-${arch}.so.1`, symbols).symbols.flock;
  }
}
