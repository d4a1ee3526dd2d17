/** Little-endian numbers in byte arrays, without a DataView for each array. */

export function put16(bytes: Uint8Array, offset: number, value: number): void {
  bytes[offset] = value;
  bytes[offset + 1] = value >>> 8;
}

export function put32(bytes: Uint8Array, offset: number, value: number): void {
  bytes[offset] = value;
  bytes[offset + 1] = value >>> 8;
  bytes[offset + 2] = value >>> 16;
  bytes[offset + 3] = value >>> 24;
}

export function get16(bytes: Uint8Array, offset: number): number {
  return (bytes[offset] as number) | ((bytes[offset + 1] as number) << 8);
}

export function get32(bytes: Uint8Array, offset: number): number {
  return (get16(bytes, offset) | (get16(bytes, offset + 2) << 16)) >>> 0;
}

/** The upper half of a 64-bit number that is a safe integer. */
export function high32(value: number): number {
  return Math.floor(value / 2 ** 32);
}

/** Below this many bytes a loop is faster than the call of a native copy. */
const SMALL_BYTES = 48;

/** Copies all of `from` to `to` at `offset`, where it must fit. */
export function putBytes(to: Uint8Array, offset: number, from: Uint8Array): void {
  const { length } = from;
  if (length > SMALL_BYTES) {
    to.set(from, offset);
    return;
  }
  for (let at = 0; at < length; at++) to[offset + at] = from[at] as number;
}
