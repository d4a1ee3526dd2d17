/** Writes banger's ssh configuration and includes it at the start of the user's own. */
import { mkdirSync, readFileSync, realpathSync, rmSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { BangerError, errnoOf } from "#base/error.ts";
import { writeFileAtomic } from "#base/files/atomic.ts";
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
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
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
  try {
    if (statSync(file).size > CONFIG_MAX_BYTES) {
      throw new BangerError("limit_exceeded", `Cannot change "${file}": larger than 1 MiB`);
    }
    return readFileSync(file, "utf8").replace(/\n$/, "").split("\n");
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    throw error;
  }
}

/** A link stays one, and the mode stays what it is. */
function write(file: string, lines: readonly string[]): void {
  const info = statSync(file, { throwIfNoEntry: false });
  const target = info ? realpathSync(file) : file;
  const mode = info ? info.mode & 0o777 : 0o600;
  const text = lines.join("\n");
  writeFileAtomic(target, text === "" ? "" : `${text.replace(/\n+$/, "")}\n`, { mode });
}
