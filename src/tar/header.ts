/**
 * The 512-byte header of a tar entry: v7, ustar, star and GNU.
 * Source: POSIX.1-2017 pax ("ustar Interchange Format"), and the GNU tar manual ("Basic Tar Format").
 */
import { BangerError } from "#base/error.ts";

export const TAR_BLOCK_BYTES = 512;

export interface TarHeader {
  /** The type byte; 0 in v7 archives. */
  type: number;
  /** Views into the block, valid until it is reused; `prefix` goes before `name` with a "/". */
  name: Uint8Array;
  prefix: Uint8Array;
  linkName: Uint8Array;
  mode: number;
  uid: number;
  gid: number;
  size: number;
  mtime: number;
  major: number;
  minor: number;
  isGnu: boolean;
}

const NO_BYTES = new Uint8Array(0);
const CHECKSUM_AT = 148;
const CHECKSUM_BYTES = 8;

export function isZeroBlock(block: Uint8Array): boolean {
  for (let at = 0; at < TAR_BLOCK_BYTES; at++) if (block[at] !== 0) return false;
  return true;
}

/** Throws `integrity` when the checksum or a number is wrong. */
export function parseHeader(block: Uint8Array): TarHeader {
  checkSum(block);
  const isUstar = hasText(block, 257, "ustar\0");
  const isGnu = !isUstar && hasText(block, 257, "ustar ");
  const isStar = isUstar && hasText(block, 508, "tar\0");
  const hasDevice = isUstar || isGnu;
  return {
    type: block[156] as number,
    name: field(block, 0, 100),
    prefix: isUstar ? field(block, 345, isStar ? 131 : 155) : NO_BYTES,
    linkName: field(block, 157, 100),
    mode: parseNumber(block, 100, 8),
    uid: parseNumber(block, 108, 8),
    gid: parseNumber(block, 116, 8),
    size: parseNumber(block, 124, 12),
    mtime: parseNumber(block, 136, 12),
    major: hasDevice ? parseNumber(block, 329, 8) : 0,
    minor: hasDevice ? parseNumber(block, 337, 8) : 0,
    isGnu,
  };
}

/** Octal text between spaces and zeros, or, when the first bit is set, a big-endian two's complement number. */
export function parseNumber(block: Uint8Array, start: number, length: number): number {
  const first = block[start] as number;
  if (first & 0x80) return parseBinary(block, start, length);
  let at = start;
  const end = start + length;
  while (at < end && block[at] === 0x20) at++;
  let value = 0;
  for (; at < end; at++) {
    const digit = (block[at] as number) - 0x30;
    if (digit < 0 || digit > 7) break;
    value = value * 8 + digit;
  }
  for (; at < end; at++) {
    const rest = block[at];
    if (rest === 0) break;
    if (rest !== 0x20) throw tarError("a number in a header is not octal");
  }
  return value;
}

function parseBinary(block: Uint8Array, start: number, length: number): number {
  const isNegative = ((block[start] as number) & 0x40) !== 0;
  let value = ((block[start] as number) & 0x3f) - (isNegative ? 0x40 : 0);
  for (let at = start + 1; at < start + length; at++) value = value * 256 + (block[at] as number);
  if (!Number.isSafeInteger(value)) throw tarError("a number in a header is out of range");
  return value;
}

/** The sum of all bytes, with the checksum field counted as spaces; some writers summed signed bytes. */
function checkSum(block: Uint8Array): void {
  let sum = 0;
  for (let at = 0; at < TAR_BLOCK_BYTES; at++) sum += block[at] as number;
  for (let at = CHECKSUM_AT; at < CHECKSUM_AT + CHECKSUM_BYTES; at++) {
    sum -= (block[at] as number) - 0x20;
  }
  const stored = parseNumber(block, CHECKSUM_AT, CHECKSUM_BYTES);
  if (stored === sum) return;
  let high = 0;
  for (let at = 0; at < TAR_BLOCK_BYTES; at++) {
    const isSum = at >= CHECKSUM_AT && at < CHECKSUM_AT + CHECKSUM_BYTES;
    if (!isSum && (block[at] as number) > 127) high++;
  }
  if (stored === sum - 256 * high) return;
  throw tarError("header checksum mismatch: not a tar archive, or corrupt");
}

/** Up to the first zero byte. */
function field(block: Uint8Array, start: number, length: number): Uint8Array {
  let end = start;
  while (end < start + length && block[end] !== 0) end++;
  return block.subarray(start, end);
}

function hasText(block: Uint8Array, start: number, text: string): boolean {
  for (let at = 0; at < text.length; at++) {
    if (block[start + at] !== text.charCodeAt(at)) return false;
  }
  return true;
}

/** A damaged archive, or a file that is none. `what`: how messages name it. */
export class TarError extends BangerError {
  readonly problem: string;

  constructor(problem: string, what = "tar archive") {
    super("integrity", `Cannot read ${what}: ${problem}`, {
      hint: "The archive is corrupt: create it again",
    });
    this.problem = problem;
  }
}

export function tarError(problem: string): TarError {
  return new TarError(problem);
}

/** A decimal number of an extended header. */
export function toInteger(text: string | undefined): number {
  if (text === undefined || !/^\d{1,16}$/.test(text)) {
    throw tarError(`"${text}" in an extended header is not a number`);
  }
  const value = Number(text);
  if (!Number.isSafeInteger(value)) throw tarError("a number in an extended header is too large");
  return value;
}
