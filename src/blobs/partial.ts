/**
 * The partial file of a download, "<hex>.partial". A lock on the file itself lets one process download a blob while
 * others wait, and ends with the process that holds it.
 */
import { constants } from "node:fs";
import { type FileHandle, open, rename, rm, stat } from "node:fs/promises";
import { sleep } from "#base/abort.ts";
import { errnoOf } from "#base/error.ts";
import { tryLock, unlock } from "#base/libc.ts";

const LOCK_POLL_MS = 100;

export interface Partial {
  /** Open for reading and writing; the caller closes it. */
  file: FileHandle;
  /** Bytes from an earlier attempt. */
  size: number;
  /** Renames it to the complete blob and unlocks it. */
  commit(): Promise<void>;
  /** Unlocks the file and, unless `isKept`, deletes it. */
  leave(options: { isKept: boolean }): Promise<void>;
}

/** Waits for the lock. Undefined when another process has completed the blob meanwhile. */
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

/** The previous holder of the lock may have renamed or deleted the file. */
async function isStillAt(path: string, file: FileHandle): Promise<boolean> {
  try {
    const [there, here] = await Promise.all([stat(path), file.stat()]);
    return there.ino === here.ino && there.dev === here.dev;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return false;
    throw error;
  }
}
