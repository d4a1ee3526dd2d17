/** Small files that a running VMM writes for us, and a socket of its own. */
import { closeSync, constants, fstatSync, openSync, readSync, rmSync } from "node:fs";
import { join } from "node:path";
import { BangerError } from "#base/error.ts";
import { SCRATCH } from "./command.ts";

/** A folder, as QEMU sees it and as this process does. */
export interface Scratch {
  inside: string;
  outside: string;
}

/** In a root of QEMU's own it is there, else the runtime folder. */
export function scratchOf(
  { pid, runtimeDir }: { pid: number; runtimeDir: string },
  hasOwnRoot: boolean,
): Scratch {
  if (!hasOwnRoot) return { inside: runtimeDir, outside: runtimeDir };
  return { inside: SCRATCH, outside: `/proc/${pid}/root${SCRATCH}` };
}

/**
 * Has QEMU write a file, and gives what is in it, at most `max_bytes`. QEMU may be in the hands of its guest, so what is
 * there may be anything, such as a link to a file of the daemon's.
 */
export async function writtenBy(
  { inside, outside }: Scratch,
  { name, max_bytes }: { name: string; max_bytes: number },
  write: (filename: string) => Promise<unknown>,
): Promise<Buffer> {
  const path = join(outside, name);
  try {
    await write(join(inside, name));
    return readPlain(path, max_bytes);
  } finally {
    rmSync(path, { force: true });
  }
}

function readPlain(path: string, max_bytes: number): Buffer {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
  const fd = openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  try {
    const status = fstatSync(fd);
    if (!status.isFile() || status.size > max_bytes) {
      throw new BangerError("integrity", "Cannot save the machine: QEMU wrote something else");
    }
    const bytes = Buffer.alloc(status.size);
    for (let at = 0; at < bytes.length; ) {
      const count = readSync(fd, bytes, at, bytes.length - at, at);
      if (count === 0) throw new BangerError("internal", "Cannot save the machine: a file is cut");
      at += count;
    }
    return bytes;
  } finally {
    closeSync(fd);
  }
}
