/** Zeros that need not be written: a file that was never written there reads as zeros as well. */
import { KiB } from "#base/size.ts";

/** Of a hole: smaller ones cost more writes than they save room. */
const HOLE_BYTES = 64 * KiB;
const zeros = Buffer.alloc(HOLE_BYTES);

/** The parts of the first `length` bytes that must be written, as [start, end], without large pieces of nothing but zeros. */
export function dataParts(bytes: Uint8Array, length: number): [start: number, end: number][] {
  const parts: [number, number][] = [];
  for (let start = 0; start < length; start += HOLE_BYTES) {
    const end = Math.min(start + HOLE_BYTES, length);
    if (isZero(bytes, start, end)) continue;
    const last = parts.at(-1);
    if (last && last[1] === start) last[1] = end;
    else parts.push([start, end]);
  }
  return parts;
}

function isZero(bytes: Uint8Array, start: number, end: number): boolean {
  // What holds data mostly shows it at once.
  if (bytes[start] !== 0 || bytes[end - 1] !== 0) return false;
  const piece = Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start);
  return piece.equals(zeros.subarray(0, end - start));
}
