/** Puts the embedded banger-inflate into a memfd, from which it can be executed. */
import { closeSync, ftruncateSync, openSync, readFileSync, writeSync } from "node:fs";
import { createMemfd } from "#base/libc.ts";
import programPath from "../../../build/bin/banger-inflate" with { type: "file" };

const MFD_CLOEXEC = 1;
/** Flags of memfd_create(2) since Linux 6.3. */
const MFD_NOEXEC_SEAL = 8;
const MFD_EXEC = 16;

let program: number | undefined;

/** Path of the executable, for the lifetime of this process. Throws if memfd_create() fails. */
export function inflateProgram(): string {
  program ??= writeProgram();
  return `/proc/${process.pid}/fd/${program}`;
}

/** File descriptor of zeroed shared memory, which the caller closes. */
export function createMemory(name: string, size_bytes: number): number {
  const fd = openMemory(name, MFD_NOEXEC_SEAL);
  ftruncateSync(fd, size_bytes);
  return fd;
}

/** Reopened read-only: a file that is open for writing cannot be executed. */
function writeProgram(): number {
  const bytes = readFileSync(programPath);
  const fd = openMemory("banger-inflate", MFD_EXEC);
  try {
    for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
    return openSync(`/proc/self/fd/${fd}`, "r");
  } finally {
    closeSync(fd);
  }
}

function openMemory(name: string, purpose: number): number {
  const fd = createMemfd(name, MFD_CLOEXEC | purpose) ?? createMemfd(name, MFD_CLOEXEC);
  if (fd === undefined) throw new Error("memfd_create() failed");
  return fd;
}
