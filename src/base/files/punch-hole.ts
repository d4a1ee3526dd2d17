/** Gives blocks of a file back to the disk below it. */
import { dlopen, FFIType } from "bun:ffi";

const FALLOC_FL_KEEP_SIZE = 1;
const FALLOC_FL_PUNCH_HOLE = 2;

/** Best effort: where the file system or the C library cannot, the space stays taken. */
export function punchHole(fd: number, position: number, length: number): void {
  fallocate()?.(fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, position, length);
}

type Fallocate = (fd: number, mode: number, position: number, length: number) => number;
let opened: Fallocate | undefined | "absent";

function fallocate(): Fallocate | undefined {
  if (opened === undefined) {
    try {
      opened = dlopen("libc.so.6", {
        fallocate: {
          args: [FFIType.i32, FFIType.i32, FFIType.i64, FFIType.i64],
          returns: FFIType.i32,
        },
      }).symbols.fallocate;
    } catch {
      opened = "absent";
    }
  }
  return opened === "absent" ? undefined : opened;
}
