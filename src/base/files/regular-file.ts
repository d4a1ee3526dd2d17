/** Reads files that somebody else may have put there: no waiting on a FIFO, no device, no more than a limit. */
import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { BangerError } from "#base/error.ts";

export interface ReadOptions {
  max_bytes: number;
  /** Whether a symbolic link is followed. Default: it is refused, as ELOOP. */
  followsLinks?: boolean;
}

/** `invalid_argument` for what is no regular file, `limit_exceeded`; else the error of the file system. */
export function readRegularFile(path: string, options: ReadOptions): string {
  const { max_bytes, followsLinks = false } = options;
  const { O_RDONLY, O_NONBLOCK, O_NOFOLLOW } = constants;
  const fd = openSync(path, O_RDONLY | O_NONBLOCK | (followsLinks ? 0 : O_NOFOLLOW));
  try {
    if (!fstatSync(fd).isFile()) {
      throw new BangerError("invalid_argument", `Cannot read ${path}: not a regular file`);
    }
    // One more than may be there: what a file says of its size is not always so.
    const buffer = Buffer.alloc(max_bytes + 1);
    let length = 0;
    for (;;) {
      const count = readSync(fd, buffer, length, buffer.length - length, null);
      length += count;
      if (length > max_bytes) {
        throw new BangerError(
          "limit_exceeded",
          `Cannot read ${path}: larger than ${max_bytes} bytes`,
        );
      }
      if (count === 0) return buffer.toString("utf8", 0, length);
    }
  } finally {
    closeSync(fd);
  }
}
