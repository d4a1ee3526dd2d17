/** Files without the blocks that hold only zeros. */
import { closeSync, ftruncateSync, openSync, writeSync } from "node:fs";

const BLOCK_BYTES = 4096;

/** Writes a new file; an unpacked kernel is a third zeros between its segments. */
export function writeSparse(path: string, bytes: Uint8Array): void {
  const fd = openSync(path, "wx", 0o644);
  try {
    ftruncateSync(fd, bytes.length);
    for (let start = 0; start < bytes.length; ) {
      const isZero = isZeroBlock(bytes, start);
      let end = start + BLOCK_BYTES;
      while (end < bytes.length && isZeroBlock(bytes, end) === isZero) end += BLOCK_BYTES;
      if (!isZero) writeAll(fd, bytes.subarray(start, end), start);
      start = end;
    }
  } finally {
    closeSync(fd);
  }
}

function isZeroBlock(bytes: Uint8Array, start: number): boolean {
  const end = Math.min(start + BLOCK_BYTES, bytes.length);
  return Buffer.compare(bytes.subarray(start, end), zeros.subarray(0, end - start)) === 0;
}

const zeros = new Uint8Array(BLOCK_BYTES);

function writeAll(fd: number, bytes: Uint8Array, position: number): void {
  for (let done = 0; done < bytes.length; ) {
    done += writeSync(fd, bytes, done, bytes.length - done, position + done);
  }
}
