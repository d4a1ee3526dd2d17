/**
 * The folder of a build that is under way, gigabytes of source and objects. A lock inside tells
 * whether somebody still works in it: the lock of a process that was killed is gone.
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

/** One without a lock is only just being made, or is a result on its way; not after this time. */
const UNLOCKED_MAX_MS = 60 * 60_000;

/** What the kernel's makefiles take as the name of a folder. */
const PLAIN = /^[\w/.@+,=-]+$/;
/** For builds below a home whose name they do not take, such as "John Doe". */
const ELSEWHERE = "/var/tmp";
const ELSEWHERE_MARK = `banger-kernel-${process.getuid?.() ?? 0}-`;

export interface Scratch extends AsyncDisposable {
  path: string;
}

/** A new folder beside `result`, or where its name can be built in, which is gone when it is disposed of. */
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

/** Removes the folders in which nobody works any more. */
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
