/** Configuration files of the user's, which other programs own as well. */
import { mkdirSync, readFileSync, realpathSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { BangerError, errnoOf } from "#base/error.ts";
import { formatSize } from "#base/size.ts";
import { writeFileAtomic } from "./atomic.ts";

/** Undefined if there is none. */
export function readUserFile(
  path: string,
  { max_bytes }: { max_bytes: number },
): string | undefined {
  try {
    if (statSync(path).size > max_bytes) {
      throw new BangerError(
        "limit_exceeded",
        `Cannot change "${path}": larger than ${formatSize(max_bytes)}`,
      );
    }
    return readFileSync(path, "utf8");
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

/** A link stays one, and the mode stays what it is. */
export function writeUserFile(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const info = statSync(path, { throwIfNoEntry: false });
  const target = info ? realpathSync(path) : path;
  const mode = info ? info.mode & 0o777 : 0o600;
  writeFileAtomic(target, text, { mode });
}
