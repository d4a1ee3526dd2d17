/** Whether a program can be changed by anybody but root, who is going to run it. */
import { lstatSync, realpathSync } from "node:fs";
import { dirname } from "node:path";
import { BangerError } from "#base/error.ts";

const S_ISVTX = 0o1000;
const GROUP_MAY_WRITE = 0o020;
const OTHERS_MAY_WRITE = 0o002;

/** `permission_denied` for a program that others than root can change: root is going to run it at each boot. `verb`: what was typed. */
export function assertUnchangeable(program: readonly string[], verb: string): void {
  const [file, changeable] =
    program.map((each) => [each, findChangeable(each)] as const).find(([, found]) => found) ?? [];
  if (changeable === undefined) return;
  throw new BangerError(
    "permission_denied",
    `Cannot run "${file}" as root at boot: "${changeable}" is writable by other users`,
    {
      hint: `Install it to a directory that only root can write to: sudo install ${file} /usr/local/bin/ && sudo /usr/local/bin/banger ${verb}`,
    },
  );
}

/** The file, or a folder or link on the way to it, that others than root can change or replace; undefined when there is none. */
function findChangeable(path: string): string | undefined {
  const real = realpathSync(path);
  return [path, real].flatMap(withFolders).find(isChangeable);
}

function withFolders(path: string): string[] {
  const folder = dirname(path);
  return folder === path ? [path] : [path, ...withFolders(folder)];
}

function isChangeable(path: string): boolean {
  const stat = lstatSync(path);
  if (stat.uid !== 0) return true;
  if (stat.isSymbolicLink()) return false;
  // In a folder like /tmp nobody can move or remove what is root's.
  if (stat.isDirectory() && (stat.mode & S_ISVTX) !== 0) return false;
  const isGroupRoot = stat.gid === 0;
  return (stat.mode & (OTHERS_MAY_WRITE | (isGroupRoot ? 0 : GROUP_MAY_WRITE))) !== 0;
}
