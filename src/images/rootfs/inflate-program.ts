/** The embedded banger-inflate, and the memory that it shares with this process. */
import { ftruncateSync } from "node:fs";
import { dataMemory, programInMemory } from "#base/files/memory-program.ts";
import programPath from "../../../build/bin/banger-inflate" with { type: "file" };

let program: number | undefined;

/** Path of the executable, for the lifetime of this process. Throws if memfd_create() fails. */
export function inflateProgram(): string {
  program ??= programInMemory("banger-inflate", programPath);
  return `/proc/${process.pid}/fd/${program}`;
}

/** File descriptor of zeroed shared memory, which the caller closes. */
export function createMemory(name: string, size_bytes: number): number {
  const fd = dataMemory(name);
  ftruncateSync(fd, size_bytes);
  return fd;
}
