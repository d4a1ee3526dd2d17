/** Files with holes: where their data is, which zeros need not be written, and writing them without. */
import { closeSync, fstatSync, ftruncateSync, openSync, writeSync } from "node:fs";
import { open } from "node:fs/promises";
import { throwIfAborted } from "#base/abort.ts";
import { punchHole, seekData, seekHole } from "#base/libc.ts";
import { KiB, MiB } from "#base/size.ts";

/** Bytes from the start of the file. */
export interface DataPart {
  offset: number;
  length: number;
}

const BLOCK_BYTES = 512;
/** A file of more pieces is read as if it had no holes. */
const MAX_PARTS = 50_000;
/** Smaller holes cost more writes than they save room. */
const HOLE_BYTES = 64 * KiB;
/** The kernel's own: what can be missing from a file that is written once, and mapped. */
const PAGE_BYTES = 4 * KiB;
/** Read at once. */
const PIECE_BYTES = MiB;
const zeros = Buffer.alloc(HOLE_BYTES);

/** The parts of a file that are stored; undefined where it has no holes, or they cannot be found. */
export function dataParts(fd: number): DataPart[] | undefined {
  const { size, blocks } = fstatSync(fd);
  if (blocks * BLOCK_BYTES >= size) return undefined;
  const parts: DataPart[] = [];
  for (let at = 0; at < size; ) {
    const data = seekData(fd, at);
    if (data === undefined) break;
    const hole = seekHole(fd, data) ?? data;
    if (hole <= data || parts.length === MAX_PARTS) return undefined;
    parts.push({ offset: data, length: Math.min(hole, size) - data });
    at = hole;
  }
  return parts;
}

export interface HoleOptions {
  /** Of the bytes that count. Default: all. */
  length?: number;
  /** Where in the file the bytes go: holes begin at multiples of `hole_bytes` there. Default 0. */
  position?: number;
  /** The smallest hole, at most 64 KiB, which is the default. */
  hole_bytes?: number;
}

/** The parts of `bytes` that must be written, as [start, end], without the pieces of nothing but zeros. */
export function nonZeroParts(
  bytes: Uint8Array,
  options: HoleOptions = {},
): [start: number, end: number][] {
  const { length = bytes.length, position = 0, hole_bytes = HOLE_BYTES } = options;
  const parts: [number, number][] = [];
  for (let start = 0; start < length; ) {
    const end = Math.min(start + hole_bytes - ((position + start) % hole_bytes), length);
    if (!isZero(bytes, start, end)) {
      const last = parts.at(-1);
      if (last && last[1] === start) last[1] = end;
      else parts.push([start, end]);
    }
    start = end;
  }
  return parts;
}

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
  for (const [start, end] of nonZeroParts(bytes, { position, hole_bytes: PAGE_BYTES })) {
    for (let at = start; at < end; ) at += writeSync(fd, bytes, at, end - at, position + at);
  }
}

/** Gives back the blocks of a file that hold nothing but zeros. */
export async function punchZeros(
  path: string,
  { signal }: { signal?: AbortSignal | undefined } = {},
): Promise<void> {
  await using file = await open(path, "r+");
  const { size } = await file.stat();
  const buffer = Buffer.allocUnsafe(PIECE_BYTES);
  for (const part of dataParts(file.fd) ?? [{ offset: 0, length: size }]) {
    for (let at = part.offset; at < part.offset + part.length; ) {
      throwIfAborted(signal);
      const length = Math.min(PIECE_BYTES, part.offset + part.length - at);
      const { bytesRead } = await file.read(buffer, 0, length, at);
      if (bytesRead === 0) return;
      const piece = buffer.subarray(0, bytesRead);
      let hole = 0;
      const used = nonZeroParts(piece, { position: at, hole_bytes: PAGE_BYTES });
      for (const [start, end] of [...used, [bytesRead, bytesRead] as const]) {
        if (start > hole) punchHole(file.fd, at + hole, start - hole);
        hole = end;
      }
      at += bytesRead;
    }
  }
}

function isZero(bytes: Uint8Array, start: number, end: number): boolean {
  // What holds data mostly shows it at once.
  if (bytes[start] !== 0 || bytes[end - 1] !== 0) return false;
  const piece = Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start);
  return piece.equals(zeros.subarray(0, end - start));
}
