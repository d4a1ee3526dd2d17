import { constants, copyFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { STAGING_MARK } from "#base/files/atomic.ts";
import { newId } from "#base/id.ts";

/** Tries it: two tiny files in `folder`, removed again. */
export function reflinkWorks(folder: string): boolean {
  const from = join(folder, `${STAGING_MARK}${newId()}`);
  const to = `${from}-copy`;
  try {
    writeFileSync(from, "x".repeat(4096));
    copyFileSync(from, to, constants.COPYFILE_FICLONE_FORCE);
    return true;
  } catch {
    return false;
  } finally {
    rmSync(from, { force: true });
    rmSync(to, { force: true });
  }
}
