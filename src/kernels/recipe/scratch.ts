/**
 * The scratch directory of a build, with gigabytes of source and objects. A lock file shows whether a process still
 * uses it; the lock ends with the process.
 */
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  statSync,
} from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { STAGING_MARK, stagingPath } from "#base/files/atomic.ts";
import { tryLock } from "#base/libc.ts";

/** A directory without a lock is new, or a result being moved; after this time it is abandoned. */
const UNLOCKED_MAX_MS = 60 * 60_000;

/** Paths that the kernel's makefiles support. */
const PLAIN = /^[\w/.@+,=-]+$/;
/** For builds below a home directory that they do not support, such as "John Doe". */
const ELSEWHERE = "/var/tmp";
const ELSEWHERE_MARK = `banger-kernel-${process.getuid?.() ?? 0}-`;

export interface Scratch extends AsyncDisposable {
  path: string;
}

/**
 * Creates a directory beside `result`, or elsewhere if its path is not supported. Disposing of it removes the
 * directory.
 */
export function makeScratch(result: string): Scratch {
  const beside = stagingPath(result);
  const path = PLAIN.test(beside) ? beside : mkdtempSync(join(ELSEWHERE, ELSEWHERE_MARK));
  mkdirSync(path, { recursive: true, mode: 0o700 });
  const lock = openSync(join(path, "lock"), "w", 0o600);
  tryLock(lock);
  return {
    path,
    async [Symbol.asyncDispose]() {
      await rm(path, { recursive: true, force: true });
      closeSync(lock);
    },
  };
}

/** Removes abandoned directories. */
export async function sweepScratch(builds: string): Promise<void> {
  await sweep(builds, STAGING_MARK);
  if (!PLAIN.test(builds)) await sweep(ELSEWHERE, ELSEWHERE_MARK);
}

async function sweep(folder: string, mark: string): Promise<void> {
  if (!existsSync(folder)) return;
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    if (name.startsWith(mark) && isAbandoned(path))
      await rm(path, { recursive: true, force: true });
  }
}

function isAbandoned(path: string): boolean {
  const lock = join(path, "lock");
  if (!existsSync(lock)) {
    const found = statSync(path, { throwIfNoEntry: false });
    return found !== undefined && Date.now() - found.mtimeMs > UNLOCKED_MAX_MS;
  }
  const fd = openSync(lock, "r");
  try {
    return tryLock(fd);
  } finally {
    closeSync(fd);
  }
}
