/** Writes banger's ssh configuration and includes it at the start of the user's own. */
import { rmSync } from "node:fs";
import { writeFileAtomic } from "#base/files/atomic.ts";
import { readUserFile, writeUserFile } from "#base/files/user-file.ts";
import { MiB } from "#base/size.ts";
import type { Paths } from "#config/paths.ts";
import { configBlock, quotePattern } from "./options.ts";

const CONFIG_MAX_BYTES = MiB;
const MARK = "# banger machines; remove with `banger ssh-config --uninstall`";

/** Gives whether anything had to be changed in `file`. */
export function installSshConfig(paths: Paths, file: string): boolean {
  writeFileAtomic(paths.sshConfig, `${configBlock(paths)}\n`);
  const lines = readConfig(file);
  if (lines.includes(includeLine(paths))) return false;
  // An Include after a Host line would be a part of that host.
  write(file, [MARK, includeLine(paths), "", ...lines]);
  return true;
}

export function uninstallSshConfig(paths: Paths, file: string): boolean {
  rmSync(paths.sshConfig, { force: true });
  const lines = readConfig(file);
  const at = lines.indexOf(includeLine(paths));
  if (at === -1) return false;
  const from = lines[at - 1] === MARK ? at - 1 : at;
  const end = lines[at + 1] === "" ? at + 2 : at + 1;
  write(file, lines.toSpliced(from, end - from));
  return true;
}

function includeLine(paths: Paths): string {
  return `Include ${quotePattern(paths.sshConfig)}`;
}

/** Without the newline at the end; empty where there is no file. */
function readConfig(file: string): string[] {
  const text = readUserFile(file, { max_bytes: CONFIG_MAX_BYTES });
  return text === undefined ? [] : text.replace(/\n$/, "").split("\n");
}

function write(file: string, lines: readonly string[]): void {
  const text = lines.join("\n");
  writeUserFile(file, text === "" ? "" : `${text.replace(/\n+$/, "")}\n`);
}
