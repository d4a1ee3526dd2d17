/**
 * The unfinished form of a cached blob, "<hex>.partial". It is written under a lock on the
 * file itself, so that a process that dies leaves no lock, and of two processes that want
 * the same blob one transfers it while the other waits.
 */
import { constants } from "node:fs";
import { type FileHandle, open, rename, rm, stat } from "node:fs/promises";
import { sleep } from "#base/abort.ts";
import { errnoOf } from "#base/error.ts";
import { tryLock, unlock } from "#base/libc.ts";

const LOCK_POLL_MS = 100;

export interface Partial {
  /** Open for reading and writing. The opener closes it. */
  file: FileHandle;
  /** Bytes that an earlier attempt has left. */
  size: number;
  /** Makes it the finished blob, and drops the lock. */
  commit(): Promise<void>;
  /** Drops the lock; removes the file unless it is of use to a later attempt. */
  leave(options: { isKept: boolean }): Promise<void>;
}

/** Waits for the lock. Undefined when the blob has meanwhile been finished by somebody else. */
export async function openPartial(
  path: string,
  options: { isFinished: () => Promise<boolean>; signal: AbortSignal },
): Promise<Partial | undefined> {
  const staging = `${path}.partial`;
  for (;;) {
    if (await options.isFinished()) return undefined;
    const file = await open(
      staging,
      constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW,
      0o600,
    );
    try {
      if (tryLock(file.fd) && (await isStillAt(staging, file))) {
        return toPartial(file, { path, staging, size: (await file.stat()).size });
      }
    } catch (error) {
      await file.close();
      throw error;
    }
    await file.close();
    await sleep(LOCK_POLL_MS, options.signal);
  }
}

function toPartial(
  file: FileHandle,
  { path, staging, size }: { path: string; staging: string; size: number },
): Partial {
  return {
    file,
    size,
    async commit() {
      await rename(staging, path);
      unlock(file.fd);
    },
    async leave({ isKept }) {
      if (!isKept) await rm(staging, { force: true });
      unlock(file.fd);
    },
  };
}

/** The one who held the lock before may have renamed or removed the file that we opened. */
async function isStillAt(path: string, file: FileHandle): Promise<boolean> {
  try {
    const [there, here] = await Promise.all([stat(path), file.stat()]);
    return there.ino === here.ino && there.dev === here.dev;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return false;
    throw error;
  }
}
