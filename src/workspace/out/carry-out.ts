/**
 * Writes planned changes to the user's tree. All content is written into a directory of the repository's own first, and
 * then renamed into place: whatever ends it, each file is as before or complete, and nothing else is left in the tree.
 */
import {
  chmodSync,
  constants,
  copyFileSync,
  lstatSync,
  mkdirSync,
  readlinkSync,
  renameSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { errnoOf } from "#base/error.ts";
import type { Repository } from "#workspace/git/source.ts";
import { joinName, parentOf, toBytes } from "#workspace/names.ts";
import { stagingFolder, stagingName } from "#workspace/staging.ts";

export const LINK = 0o120000;

/** The planned change of one path in the user's tree. */
export interface Step {
  name: string;
  /** Undefined: it is removed. */
  content: { mode: number; bytes: Uint8Array } | undefined;
  isMerged: boolean;
}

/** True if it continues one that was interrupted. */
export function carryOut({ top, gitDir }: Repository, steps: readonly Step[]): boolean {
  using staging = stagingFolder(gitDir, "apply");
  const staged: { name: string; path: string }[] = [];
  for (const [at, { name, content }] of steps.entries()) {
    if (!content) continue;
    const path = join(staging.path, String(at));
    stage(path, content, placeOf(top, name));
    staged.push({ name, path });
  }
  // Removals first, deepest first.
  const removed = steps.filter(({ content }) => !content).map(({ name }) => name);
  for (const name of removed.toSorted((a, b) => (a < b ? 1 : -1))) {
    rmSync(placeOf(top, name), { force: true });
    removeEmpty(top, parentOf(name));
  }
  for (const { name, path } of staged) {
    const target = placeOf(top, name);
    mkdirSync(placeOf(top, parentOf(name)), { recursive: true });
    const old = lstatSync(target, { throwIfNoEntry: false });
    if (old?.isDirectory()) rmSync(target, { recursive: true });
    move(path, target, placeOf(top, joinName(parentOf(name), stagingName("apply"))));
  }
  return staging.wasInterrupted;
}

function stage(path: string, { mode, bytes }: NonNullable<Step["content"]>, place: Buffer): void {
  if (mode === LINK) {
    symlinkSync(Buffer.from(bytes), path);
    return;
  }
  const old = lstatSync(place, { throwIfNoEntry: false });
  const own = modeOf(mode, old?.isFile() ? old.mode & 0o777 : undefined);
  writeFileSync(path, bytes, { mode: own, flag: "wx" });
  chmodSync(path, own);
}

/** `beside`: for a place on another file system than the repository's directory. */
function move(from: string, to: Buffer, beside: Buffer): void {
  try {
    renameSync(from, to);
  } catch (error) {
    if (errnoOf(error) !== "EXDEV") throw error;
    if (lstatSync(from).isSymbolicLink()) symlinkSync(readlinkSync(from, "buffer"), beside);
    else copyFileSync(from, beside, constants.COPYFILE_EXCL);
    renameSync(beside, to);
  }
}

function placeOf(top: string, name: string): Buffer {
  return Buffer.concat([Buffer.from(`${top}/`), toBytes(name)]);
}

/** Of the mode, only the executable bit comes from the machine. */
function modeOf(wanted: number, old: number | undefined): number {
  const before = old ?? 0o666 & ~process.umask();
  return wanted & 0o100 ? before | ((before & 0o444) >> 2) : before & ~0o111;
}

function removeEmpty(top: string, folder: string): void {
  for (let at = folder; at !== ""; at = parentOf(at)) {
    try {
      rmdirSync(placeOf(top, at));
    } catch {
      return;
    }
  }
}
