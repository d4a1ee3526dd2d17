import { createHash } from "node:crypto";
import { type Digest, sha256, shortDigest } from "#base/digest.ts";
import { BangerError } from "#base/error.ts";

export interface Expected {
  digest: Digest;
  /** Bytes. */
  size: number;
}

/** Passes the bytes through, at most `size` of them. Throws `integrity` on a mismatch of size or digest. */
export async function* verified(
  stream: AsyncIterable<Uint8Array>,
  expected: Expected,
): AsyncGenerator<Uint8Array> {
  const hash = createHash("sha256");
  let done = 0;
  for await (const chunk of stream) {
    done += chunk.length;
    if (done > expected.size) throw tooLong(expected);
    hash.update(chunk);
    yield chunk;
  }
  if (done < expected.size) throw tooShort(expected, done);
  checkDigest(`sha256:${hash.digest("hex")}`, expected);
}

/** Throws `integrity` on a mismatch of size or digest. */
export function verifyBytes(bytes: Uint8Array, expected: Expected): void {
  if (bytes.length > expected.size) throw tooLong(expected);
  if (bytes.length < expected.size) throw tooShort(expected, bytes.length);
  checkDigest(sha256(bytes), expected);
}

export function checkDigest(actual: string, expected: Expected): void {
  if (actual === expected.digest) return;
  throw new BangerError(
    "integrity",
    `Cannot use blob ${shortDigest(expected.digest)}: digest mismatch, got ${actual}`,
  );
}

export function tooLong(expected: Expected): BangerError {
  return new BangerError(
    "integrity",
    `Cannot use blob ${shortDigest(expected.digest)}: size mismatch, more than the ${expected.size} bytes in its manifest`,
  );
}

export function tooShort(expected: Expected, actual_bytes: number): BangerError {
  return new BangerError(
    "integrity",
    `Cannot use blob ${shortDigest(expected.digest)}: size mismatch, got ${actual_bytes} bytes, its manifest says ${expected.size}`,
  );
}
