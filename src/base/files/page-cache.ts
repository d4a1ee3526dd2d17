/** Advice to the kernel on what it holds of a file in memory. Best effort, and without a wait for the disk. */
import { dlopen, FFIType } from "bun:ffi";

const SYNC_FILE_RANGE_WRITE = 2;
const POSIX_FADV_DONTNEED = 4;

interface Advice {
  sync_file_range(fd: number, offset: number, length: number, flags: number): number;
  posix_fadvise(fd: number, offset: number, length: number, advice: number): number;
}
let opened: Advice | undefined | "absent";

/** Has the kernel begin to write a part of a file to the disk, so that waiting for all of it later is short. */
export function startWriteback(fd: number, position: number, length: number): void {
  libc()?.sync_file_range(fd, position, length, SYNC_FILE_RANGE_WRITE);
}

/** Has the kernel give up the memory of a part of a file, as far as it is on the disk. */
export function dropPages(fd: number, position: number, length: number): void {
  libc()?.posix_fadvise(fd, position, length, POSIX_FADV_DONTNEED);
}

function libc(): Advice | undefined {
  if (opened === undefined) {
    const { i32, i64, u32 } = FFIType;
    try {
      opened = dlopen("libc.so.6", {
        sync_file_range: { args: [i32, i64, i64, u32], returns: i32 },
        posix_fadvise: { args: [i32, i64, i64, i32], returns: i32 },
      }).symbols;
    } catch {
      opened = "absent";
    }
  }
  return opened === "absent" ? undefined : opened;
}
