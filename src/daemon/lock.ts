/** One daemon for one state folder: an flock that the kernel drops with the process, however it ends. */
import { dlopen, FFIType } from "bun:ffi";
import { closeSync, ftruncateSync, mkdirSync, openSync, readFileSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { BangerError } from "#base/error.ts";

const LOCK_EX = 2;
const LOCK_NB = 4;

/** Throws `conflict` with the other daemon's pid when there is one. The lock is held until the process ends. */
export function takeDaemonLock(path: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const fd = openSync(path, "a+", 0o600);
  const libc = dlopen("libc.so.6", {
    flock: { args: [FFIType.i32, FFIType.i32], returns: FFIType.i32 },
  });
  if (libc.symbols.flock(fd, LOCK_EX | LOCK_NB) !== 0) {
    const pid = readFileSync(path, "utf8").trim().slice(0, 20);
    closeSync(fd);
    throw new BangerError(
      "conflict",
      `Cannot start the daemon: one is running already (pid ${pid})`,
      {
        hint: "See it with: banger daemon status",
      },
    );
  }
  ftruncateSync(fd, 0);
  writeSync(fd, `${process.pid}\n`);
}
