/** Files and directories that a user names: why one cannot be used, in words and with its path. */
import { accessSync, constants, type Stats, statSync } from "node:fs";
import { BangerError, errnoOf, messageOf } from "#base/error.ts";
import { quoteWord } from "#base/shell/word.ts";

/** What is there and can be read; `what` is such as "a rootfs". `not_found`, `permission_denied`. */
export function statGiven(path: string, what: string): Stats {
  try {
    const stat = statSync(path);
    accessSync(path, constants.R_OK);
    return stat;
  } catch (error) {
    const message = `Cannot use "${path}" as ${what}`;
    switch (errnoOf(error)) {
      case "ENOENT":
      case "ENOTDIR":
        throw new BangerError("not_found", `${message}: no such file`);
      case "EACCES":
        throw new BangerError("permission_denied", `${message}: permission denied`, {
          hint: `Check the permissions with: namei -l ${quoteWord(path)}`,
        });
      default:
        throw new BangerError("not_found", `${message}: ${messageOf(error)}`, { cause: error });
    }
  }
}

/** The same, of a regular file; `invalid_argument` for anything else. */
export function statGivenFile(path: string, what: string): Stats {
  const stat = statGiven(path, what);
  if (stat.isFile()) return stat;
  const kind = stat.isDirectory() ? "a directory" : "not a regular file";
  throw new BangerError("invalid_argument", `Cannot use "${path}" as ${what}: it is ${kind}`);
}
