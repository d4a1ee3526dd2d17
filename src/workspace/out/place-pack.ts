/** Objects and refs of the user's repository when a fetch is killed: as before or complete, and the next fetch works. */
import {
  closeSync,
  constants,
  copyFileSync,
  existsSync,
  fsyncSync,
  lstatSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
} from "node:fs";
import { join } from "node:path";
import { sleep } from "#base/abort.ts";
import { syncFolder } from "#base/files/atomic.ts";
import { tryLock } from "#base/libc.ts";
import type { Repository } from "#workspace/git/source.ts";
import { stagingFolder } from "#workspace/staging.ts";

const LOCK_AGE_MS = 2000;
const LOCK_POLL_MS = 50;

/** Moves a pack and its index, checked before, to the user's objects; `from`: their directory. */
export function placePack({ commonDir }: Repository, from: string): void {
  const target = join(commonDir, "objects/pack");
  using staging = stagingFolder(join(commonDir, "objects"), "fetch");
  const names = readdirSync(from).filter((name) => /^pack-[0-9a-f]+\.(pack|idx|rev)$/.test(name));
  const missing = names.filter((name) => !existsSync(join(target, name)));
  for (const name of missing) {
    const path = join(staging.path, name);
    copyFileSync(join(from, name), path, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL);
    syncFile(path);
  }
  // The index is the last: a pack exists from then on.
  const isIndex = (name: string): number => (name.endsWith(".idx") ? 1 : 0);
  for (const name of missing.toSorted((a, b) => isIndex(a) - isIndex(b)))
    renameSync(join(staging.path, name), join(target, name));
  syncFolder(target);
}

/** One process at a time writes refs of banger: until it is closed, or ends. */
export async function lockFetches({ commonDir, git }: Repository): Promise<Disposable> {
  const fd = openSync(commonDir, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    while (!tryLock(fd)) await sleep(LOCK_POLL_MS, git.signal);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  return { [Symbol.dispose]: () => closeSync(fd) };
}

/** Of a git that was killed. One that still runs, after its fetch was killed, is done in a moment. */
export async function removeStaleLocks({ commonDir, git }: Repository, prefix: string) {
  const folder = join(commonDir, prefix);
  if (!existsSync(folder)) return;
  for (const entry of readdirSync(folder, { withFileTypes: true, recursive: true })) {
    if (!entry.isFile() || !entry.name.endsWith(".lock")) continue;
    const path = join(entry.parentPath, entry.name);
    for (;;) {
      const age_ms = Date.now() - (lstatSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0);
      if (age_ms < 0 || age_ms >= LOCK_AGE_MS) break;
      await sleep(LOCK_POLL_MS, git.signal);
    }
    rmSync(path, { force: true });
  }
}

function syncFile(path: string): void {
  const fd = openSync(path, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
