/** Whether a file system can have files of some size, which ext4 limits to less than 16 TiB. */
import { closeSync, ftruncateSync, openSync, rmSync } from "node:fs";
import { errnoOf } from "#base/error.ts";
import { stagingPath } from "./atomic.ts";

/** Beside `path`, by a file without content. */
export function canHaveSize(path: string, size_bytes: number): boolean {
  const probe = stagingPath(path);
  const fd = openSync(probe, "wx", 0o600);
  try {
    ftruncateSync(fd, size_bytes);
    return true;
  } catch (error) {
    if (errnoOf(error) === "EFBIG") return false;
    throw error;
  } finally {
    closeSync(fd);
    rmSync(probe, { force: true });
  }
}
