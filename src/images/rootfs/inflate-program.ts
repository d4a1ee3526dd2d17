/** The program that decompresses gzip layers, in memory of its own: a program inside this one cannot be run from there. */
import { closeSync, ftruncateSync, openSync, readFileSync, writeSync } from "node:fs";
import { createMemfd } from "#base/libc.ts";
import programPath from "../../../build/bin/banger-inflate" with { type: "file" };

const MFD_CLOEXEC = 1;
/** What either memory is for; a kernel before 6.3 knows neither, and asks for neither. */
const MFD_NOEXEC_SEAL = 8;
const MFD_EXEC = 16;

let program: number | undefined;

/** What to execute; the same for all of this process's life. Throws where the system has no such memory. */
export function inflateProgram(): string {
  program ??= writeProgram();
  return `/proc/${process.pid}/fd/${program}`;
}

/** A descriptor of zeroed memory that can be mapped, which the caller closes. */
export function createMemory(name: string, size_bytes: number): number {
  const fd = openMemory(name, MFD_NOEXEC_SEAL);
  ftruncateSync(fd, size_bytes);
  return fd;
}

/** Read only: what somebody may write to cannot be executed. */
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
