/** Where a file has data and where it has holes. */
import { dlopen, FFIType } from "bun:ffi";
import { fstatSync } from "node:fs";

/** Bytes from the start of the file. */
export interface DataPart {
  offset: number;
  length: number;
}

const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const BLOCK_BYTES = 512;
/** A file of more pieces is copied as if it had no holes. */
const MAX_PARTS = 50_000;

/** The parts that are stored, undefined where it has no holes or they cannot be found. */
export function dataParts(fd: number): DataPart[] | undefined {
  const { size, blocks } = fstatSync(fd);
  const seek = blocks * BLOCK_BYTES < size ? lseek() : undefined;
  if (!seek) return undefined;
  const parts: DataPart[] = [];
  for (let at = 0; at < size; ) {
    const data = Number(seek(fd, at, SEEK_DATA));
    if (data < 0) break;
    const hole = Number(seek(fd, data, SEEK_HOLE));
    if (hole <= data || parts.length === MAX_PARTS) return undefined;
    parts.push({ offset: data, length: Math.min(hole, size) - data });
    at = hole;
  }
  return parts;
}

type Seek = (fd: number, offset: number, whence: number) => number | bigint;
let opened: Seek | undefined | "absent";

function lseek(): Seek | undefined {
  if (opened === undefined) {
    try {
      opened = dlopen("libc.so.6", {
        lseek: {
          args: [FFIType.i32, FFIType.i64, FFIType.i32],
          returns: FFIType.i64,
        },
      }).symbols.lseek;
    } catch {
      opened = "absent";
    }
  }
  return opened === "absent" ? undefined : opened;
}
