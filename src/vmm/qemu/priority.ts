/**
 * Scheduling priority of an emulated machine, which uses a whole processor whenever its guest is busy: the host's
 * programs, banger included, come first. A restored one starts with normal priority, since a user waits for it and
 * most commands are short.
 */
import { readdirSync } from "node:fs";
import { setPriority } from "node:os";
import { isRunning, type ProcessIdentity } from "#base/process-identity.ts";

const NICENESS = 10;
const RESTORED_MS = 2000;

/** Before QEMU has threads: each inherits it. */
export function makeNice(pid: number): void {
  try {
    setPriority(pid, NICENESS);
  } catch {
    // It has exited already, which its supervisor reports.
  }
}

/** All of its threads, after a while. */
export function makeNiceLater(process: ProcessIdentity, after_ms = RESTORED_MS): void {
  setTimeout(() => {
    if (!isRunning(process)) return;
    for (const thread of threadsOf(process.pid)) makeNice(thread);
  }, after_ms).unref();
}

function threadsOf(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).map(Number);
  } catch {
    return [];
  }
}
