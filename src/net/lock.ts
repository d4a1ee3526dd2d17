/** Prevents two daemons from changing the host's network at the same time. */
import { closeSync, openSync } from "node:fs";
import { throwIfAborted } from "#base/abort.ts";
import { BangerError } from "#base/error.ts";
import { tryLock } from "#base/libc.ts";
import { KeyedQueue } from "#base/queue.ts";

/** On a file system that is empty after boot; the kernel drops the lock with the process. */
const LOCK_PATH = "/run/banger-net.lock";
const LOCK_TIMEOUT_MS = 30_000;
const LOCK_RETRY_MS = 5;

const queue = new KeyedQueue();

export interface LockOptions {
  signal?: AbortSignal | undefined;
  /** Of what is changed; default: the host's own network. */
  path?: string | undefined;
}

/** One `work` at a time, in this process and among all that may write to the lock's directory. */
export async function exclusive<T>(
  work: () => Promise<T>,
  { signal, path = LOCK_PATH }: LockOptions = {},
): Promise<T> {
  return await queue.run(path, async () => {
    throwIfAborted(signal);
    const fd = await takeLock(path, signal);
    try {
      return await work();
    } finally {
      if (fd !== undefined) closeSync(fd);
    }
  });
}

/** Undefined where there is no place for a lock: then there is no other daemon with rights either. */
async function takeLock(
  path: string,
  signal: AbortSignal | undefined,
): Promise<number | undefined> {
  const fd = openLock(path);
  if (fd === undefined) return undefined;
  try {
    const deadline_ms = performance.now() + LOCK_TIMEOUT_MS;
    while (!tryLock(fd)) {
      throwIfAborted(signal);
      if (performance.now() > deadline_ms) {
        throw new BangerError(
          "timeout",
          `Cannot change the network: timed out waiting for the lock ${path}`,
          { hint: `Find the process with: sudo fuser -v ${path}` },
        );
      }
      await Bun.sleep(LOCK_RETRY_MS);
    }
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

function openLock(path: string): number | undefined {
  try {
    return openSync(path, "a", 0o600);
  } catch {
    return undefined;
  }
}
