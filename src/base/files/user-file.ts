/** Configuration files of the user's, which other programs own as well. */
import { mkdirSync, readFileSync, readlinkSync, realpathSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { BangerError, type ErrorCode, errnoOf } from "#base/error.ts";
import { formatSize } from "#base/size.ts";
import { writeFileAtomic } from "./atomic.ts";

/** Undefined if there is none. */
export function readUserFile(
  path: string,
  { max_bytes }: { max_bytes: number },
): string | undefined {
  const cannot = (code: ErrorCode, reason: string): BangerError =>
    new BangerError(code, `Cannot change "${path}": ${reason}`);
  try {
    const info = statSync(path);
    // Reading a FIFO would wait for a writer.
    if (!info.isFile()) throw cannot("invalid_argument", "not a regular file");
    if (info.size > max_bytes) {
      throw cannot("limit_exceeded", `larger than ${formatSize(max_bytes)}`);
    }
    return decode(readFileSync(path));
  } catch (error) {
    switch (errnoOf(error)) {
      case "ENOENT":
        return undefined;
      case "ENOTDIR":
        throw cannot("invalid_argument", "a file is in place of one of its directories");
      case "ELOOP":
        throw cannot("invalid_argument", "too many levels of symbolic links");
      case "EACCES":
        throw cannot("permission_denied", "permission denied");
      default:
        throw error instanceof TypeError ? cannot("invalid_state", "not UTF-8 text") : error;
    }
  }
}

/** Throws a TypeError for what could not be written back as it is. */
function decode(bytes: Uint8Array): string {
  return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
}

/** A link stays one, and the mode stays what it is. */
export function writeUserFile(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const info = statSync(path, { throwIfNoEntry: false });
  const target = info ? realpathSync(path) : targetOf(path);
  const mode = info ? info.mode & 0o777 : 0o600;
  writeFileAtomic(target, text, { mode });
}

/** Of a link whose target is not there yet. Loops are refused when the file is read. */
function targetOf(path: string): string {
  try {
    return targetOf(resolve(realpathSync(dirname(path)), readlinkSync(path)));
  } catch {
    return path;
  }
}
