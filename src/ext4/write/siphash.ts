/**
 * HalfSipHash-1-3 with a random key, for the in-memory hash table of names: an archive cannot choose names that collide.
 * Source: the SipHash reference implementation, halfsiphash.c. (Directory hashes on disk are in directory-hash.ts.)
 */
import { randomBytes } from "node:crypto";

const key = new Int32Array(new Uint8Array(randomBytes(8)).buffer);
const key0 = key[0] as number;
const key1 = key[1] as number;

/** A 32-bit hash of `number` and `bytes`. */
export function sipHash(number: number, bytes: Uint8Array): number {
  let a = key0;
  let b = key1;
  let c = 0x6c796765 ^ key0;
  let d = 0x74656462 ^ key1;
  const length = bytes.length;
  const words = (length >> 2) + 2;
  for (let index = 0; index < words + 3; index++) {
    const m = index < words ? messageWord(number, bytes, index) : 0;
    if (index === words) c ^= 0xff;
    d ^= m;
    a = (a + b) | 0;
    b = ((b << 5) | (b >>> 27)) ^ a;
    a = (a << 16) | (a >>> 16);
    c = (c + d) | 0;
    d = ((d << 8) | (d >>> 24)) ^ c;
    a = (a + d) | 0;
    d = ((d << 7) | (d >>> 25)) ^ a;
    c = (c + b) | 0;
    b = ((b << 13) | (b >>> 19)) ^ c;
    c = (c << 16) | (c >>> 16);
    a ^= m;
  }
  return (b ^ d) >>> 0;
}

/** Word 0 is the number, then the bytes; the last word ends in the length, so no message is a prefix of another. */
function messageWord(number: number, bytes: Uint8Array, index: number): number {
  if (index === 0) return number | 0;
  const start = (index - 1) << 2;
  const left = bytes.length - start;
  if (left >= 4) {
    return (
      (bytes[start] as number) |
      ((bytes[start + 1] as number) << 8) |
      ((bytes[start + 2] as number) << 16) |
      ((bytes[start + 3] as number) << 24)
    );
  }
  let value = bytes.length << 24;
  for (let at = 0; at < left; at++) value |= (bytes[start + at] as number) << (8 * at);
  return value;
}
