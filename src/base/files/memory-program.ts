/** Puts an embedded program into memory, from which it can be executed. */
import { closeSync, openSync, readFileSync, writeSync } from "node:fs";
import { createMemfd } from "#base/libc.ts";

const MFD_CLOEXEC = 1;
/** Flags of memfd_create(2) since Linux 6.3. */
const MFD_NOEXEC_SEAL = 8;
const MFD_EXEC = 16;

/** A descriptor of the program for the lifetime of this process. Throws if memfd_create() fails. */
export function programInMemory(name: string, path: string): number {
  const bytes = readFileSync(path);
  const fd = openMemory(name, MFD_EXEC);
  try {
    for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
    // Reopened read-only: a file that is open for writing cannot be executed.
    return openSync(`/proc/self/fd/${fd}`, "r");
  } finally {
    closeSync(fd);
  }
}

/** A descriptor of memory that is not executed. */
export function dataMemory(name: string): number {
  return openMemory(name, MFD_NOEXEC_SEAL);
}

function openMemory(name: string, purpose: number): number {
  const fd = createMemfd(name, MFD_CLOEXEC | purpose) ?? createMemfd(name, MFD_CLOEXEC);
  if (fd === undefined) throw new Error("memfd_create() failed");
  return fd;
}
