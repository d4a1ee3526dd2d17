/** A file system's UUID, hash seed and checksum seed, derived from a seed: the same seed gives the same bytes. */
import { createHash } from "node:crypto";
import { crc32c, crc32cWord } from "./crc32c.ts";

export interface Identity {
  /** 16 bytes: version 8 (made by a rule of ours), RFC 9562 variant. */
  uuid: Uint8Array;
  /** Four words that the names of hashed directories are mixed with. */
  hashSeed: Int32Array;
  /** Where every metadata checksum starts. */
  checksumSeed: number;
}

export function identityOf(seed: string): Identity {
  const hash = createHash("sha256").update(`banger ext4\n${seed}`).digest();
  const uuid = new Uint8Array(hash.subarray(0, 16));
  uuid[6] = ((uuid[6] as number) & 0x0f) | 0x80;
  uuid[8] = ((uuid[8] as number) & 0x3f) | 0x80;
  const hashSeed = new Int32Array(4);
  for (let word = 0; word < 4; word++) hashSeed[word] = hash.readInt32LE(16 + 4 * word);
  return { uuid, hashSeed, checksumSeed: crc32c(~0, uuid) };
}

/** Where the checksums of an inode's own metadata start: its number and its generation, which is always 0. */
export function inodeSeed(checksumSeed: number, inode: number, generation = 0): number {
  return crc32cWord(crc32cWord(checksumSeed, inode), generation);
}
