/**
 * Directories for preparing packages: in the temporary directory, since apt's own user has no access to our home. Their
 * names have the process in them, so that those of a killed daemon are found and removed.
 */
import { lstatSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { identify, isRunning } from "#base/process-identity.ts";
import { aptUser } from "./apt.ts";

const PREFIX = "banger-packages-";
const NAME = /^banger-packages-(?:(\d{1,10})-(\d{1,20})-)?\w+$/;
/** Those of earlier versions do not name their process. Nobody prepares packages for so long. */
const OLD_MS = 3_600_000;

export function makeScratch(): string {
  const { pid, startTime_ticks = 0 } = identify(process.pid) ?? { pid: process.pid };
  return mkdtempSync(join(tmpdir(), `${PREFIX}${pid}-${startTime_ticks}-`));
}

/** Removes those of processes that are gone, and returns them. Other users' are left alone. */
export function sweepScratch(folder = tmpdir()): string[] {
  const owners = [process.getuid?.(), aptUser()?.uid];
  return readdirSync(folder).flatMap((name) => {
    const [match, pid, ticks] = NAME.exec(name) ?? [];
    const path = join(folder, name);
    if (!match || (pid && isRunning({ pid: Number(pid), startTime_ticks: Number(ticks) })))
      return [];
    const file = lstatSync(path, { throwIfNoEntry: false });
    if (!file?.isDirectory() || !owners.includes(file.uid)) return [];
    if (!pid && Date.now() - file.mtimeMs < OLD_MS) return [];
    rmSync(path, { recursive: true, force: true });
    return [path];
  });
}
