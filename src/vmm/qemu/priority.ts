/**
 * The priority of an emulated machine, which takes a whole processor for as long as its guest does anything: the
 * computer's own programs, and this one, come first. One that is restored is waited for, and most commands are short:
 * it has its turn with the others at first.
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
    // It has ended already, which is told by whoever waits for it.
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
