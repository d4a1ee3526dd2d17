/** Files without the blocks that hold only zeros. */
import { closeSync, ftruncateSync, openSync, writeSync } from "node:fs";

const BLOCK_BYTES = 4096;

/** Writes a new file; an unpacked kernel is a third zeros between its segments. */
export function writeSparse(path: string, bytes: Uint8Array): void {
  const fd = openSync(path, "wx", 0o644);
  try {
    ftruncateSync(fd, bytes.length);
    writeSparseAt(fd, bytes, 0);
  } finally {
    closeSync(fd);
  }
}

/** Writes a part of a file that already has its whole length, and holds only zeros there. */
export function writeSparseAt(fd: number, bytes: Uint8Array, position: number): void {
  const endOf = (start: number): number => {
    const rest = BLOCK_BYTES - ((position + start) % BLOCK_BYTES);
    return Math.min(start + rest, bytes.length);
  };
  for (let start = 0; start < bytes.length; ) {
    let end = endOf(start);
    const isZero = isAllZero(bytes, start, end);
    while (end < bytes.length && isAllZero(bytes, end, endOf(end)) === isZero) end = endOf(end);
    if (!isZero) writeAll(fd, bytes.subarray(start, end), position + start);
    start = end;
  }
}

const zeros = new Uint8Array(BLOCK_BYTES);

function isAllZero(bytes: Uint8Array, start: number, end: number): boolean {
  return Buffer.compare(bytes.subarray(start, end), zeros.subarray(0, end - start)) === 0;
}

function writeAll(fd: number, bytes: Uint8Array, position: number): void {
  for (let done = 0; done < bytes.length; ) {
    done += writeSync(fd, bytes, done, bytes.length - done, position + done);
  }
}
