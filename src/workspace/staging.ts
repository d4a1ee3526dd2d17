/**
 * Files and directories that are renamed into place, or removed when their command ends. Their names have its process in
 * them: if it was killed, the next command removes what it has left.
 */
import { randomBytes } from "node:crypto";
import { lstatSync, mkdirSync, readdirSync, readlinkSync, rmSync } from "node:fs";
import { join } from "node:path";
import { identify, isRunning } from "#base/process-identity.ts";

const PATTERN = /^\.banger-([a-z]+)-(\d+)-(\d+)-(\d+)-[0-9a-f]{8}$/;

/** `kind`: in lower case letters. */
export function stagingName(kind: string): string {
  const { pid } = process;
  const started = identify(pid)?.startTime_ticks ?? 0;
  return `.banger-${kind}-${namespace()}-${pid}-${started}-${randomBytes(4).toString("hex")}`;
}

export function isStaging(name: string): boolean {
  return PATTERN.test(name);
}

/** Whether the process that made it has ended. */
export function isLeftover(name: string): boolean {
  const [, , space, pid, started] = PATTERN.exec(name) ?? [];
  if (space !== namespace()) return false;
  return !isRunning({ pid: Number(pid), startTime_ticks: Number(started) });
}

/** Removes what killed commands of this user have left in a directory; gives its kinds. */
export function removeLeftovers(folder: string): ReadonlySet<string> {
  const kinds = new Set<string>();
  for (const name of readdirSync(folder)) {
    if (!isLeftover(name)) continue;
    const path = join(folder, name);
    if (lstatSync(path, { throwIfNoEntry: false })?.uid !== process.geteuid?.()) continue;
    rmSync(path, { recursive: true, force: true });
    kinds.add(PATTERN.exec(name)?.[1] ?? "");
  }
  return kinds;
}

export interface StagingFolder extends Disposable {
  path: string;
  /** A command of this kind was killed before. */
  wasInterrupted: boolean;
}

/** A new directory in `parent`, without what earlier ones have left there. */
export function stagingFolder(parent: string, kind: string): StagingFolder {
  const wasInterrupted = removeLeftovers(parent).has(kind);
  const path = join(parent, stagingName(kind));
  mkdirSync(path, { mode: 0o700 });
  const dispose = (): void => rmSync(path, { recursive: true, force: true });
  return { path, wasInterrupted, [Symbol.dispose]: dispose };
}

/** Process IDs of another container mean nothing here. */
function namespace(): string {
  try {
    return /\d+/.exec(readlinkSync("/proc/self/ns/pid"))?.[0] ?? "0";
  } catch {
    return "0";
  }
}
