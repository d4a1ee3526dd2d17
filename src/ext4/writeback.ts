/** Has the kernel begin to write parts of a file to the disk, so that waiting for all of it later is short. */
import { dlopen, FFIType } from "bun:ffi";

const SYNC_FILE_RANGE_WRITE = 2;

type SyncFileRange = (fd: number, offset: number, length: number, flags: number) => number;
let opened: SyncFileRange | undefined | "absent";

/** Best effort, and does not wait: where it cannot be had, the wait later is longer. */
export function startWriteback(fd: number, position: number, length: number): void {
  syncFileRange()?.(fd, position, length, SYNC_FILE_RANGE_WRITE);
}

function syncFileRange(): SyncFileRange | undefined {
  if (opened === undefined) {
    try {
      opened = dlopen("libc.so.6", {
        sync_file_range: {
          args: [FFIType.i32, FFIType.i64, FFIType.i64, FFIType.u32],
          returns: FFIType.i32,
        },
      }).symbols.sync_file_range;
    } catch {
      opened = "absent";
    }
  }
  return opened === "absent" ? undefined : opened;
}
