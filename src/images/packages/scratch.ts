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
const NAME = /^banger-packages-(\d{1,10})-(\d{1,20})-\w+$/;

export function makeScratch(): string {
  const { pid, startTime_ticks = 0 } = identify(process.pid) ?? { pid: process.pid };
  return mkdtempSync(join(tmpdir(), `${PREFIX}${pid}-${startTime_ticks}-`));
}

/** Removes those of processes that are gone, and returns them. Other users' are left alone. */
export function sweepScratch(folder = tmpdir()): string[] {
  const owners = [process.getuid?.(), aptUser()?.uid];
  return readdirSync(folder).flatMap((name) => {
    const [, pid, ticks] = NAME.exec(name) ?? [];
    const path = join(folder, name);
    if (!pid || isRunning({ pid: Number(pid), startTime_ticks: Number(ticks) })) return [];
    const file = lstatSync(path, { throwIfNoEntry: false });
    if (!file?.isDirectory() || !owners.includes(file.uid)) return [];
    rmSync(path, { recursive: true, force: true });
    return [path];
  });
}
