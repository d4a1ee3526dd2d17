/**
 * The half-MD4 name hash of hashed directories, over unsigned bytes.
 * Source: Documentation/filesystems/ext4 ("Hash Tree Directories") and fs/ext4/hash.c.
 */

/** Additive constants of the three rounds: 0, and MD4's square roots of 2 and 3. */
const ROUND_2 = 0x5a827999;
const ROUND_3 = 0x6ed9eba1;
/** Which message word each of the eight steps of a round takes, and how far it rotates. */
const words = [
  [0, 1, 2, 3, 4, 5, 6, 7],
  [1, 3, 5, 7, 0, 2, 4, 6],
  [3, 7, 2, 6, 1, 5, 0, 4],
] as const;
const rotations = [
  [3, 7, 11, 19],
  [3, 5, 9, 13],
  [3, 9, 11, 15],
] as const;
const CHUNK_BYTES = 32;
/** Reserved to mean the end of a directory. */
const HASH_END = 0xfffffffe;

const message = new Int32Array(8);
const state = new Int32Array(4);

/** `seed`: the superblock's four hash seed words. The lowest bit is always 0: it marks continued hashes. */
export function directoryHash(name: Uint8Array, seed: Int32Array): number {
  state.set(seed);
  for (let position = 0; position < name.length; position += CHUNK_BYTES) {
    fillMessage(name, position);
    transform();
  }
  const hash = ((state[1] as number) & ~1) >>> 0;
  return hash === HASH_END ? HASH_END - 2 : hash;
}

/** Packs up to 32 bytes big-endian into words; what is missing is filled with the length that is left. */
function fillMessage(name: Uint8Array, position: number): void {
  const left = name.length - position;
  const pad = (left & 255) * 0x01010101;
  const count = Math.min(left, CHUNK_BYTES);
  message.fill(pad);
  for (let word = 0; word * 4 < count; word++) {
    let value = pad | 0;
    const end = Math.min(count, word * 4 + 4);
    for (let at = word * 4; at < end; at++) {
      value = ((value << 8) + (name[position + at] as number)) | 0;
    }
    message[word] = value;
  }
}

function transform(): void {
  let [a, b, c, d] = state as unknown as [number, number, number, number];
  for (let round = 0; round < 3; round++) {
    const order = words[round] as (typeof words)[number];
    const turns = rotations[round] as (typeof rotations)[number];
    const constant = round === 0 ? 0 : round === 1 ? ROUND_2 : ROUND_3;
    for (let step = 0; step < 8; step++) {
      const mixed =
        round === 0 ? d ^ (b & (c ^ d)) : round === 1 ? ((b & c) + ((b ^ c) & d)) | 0 : b ^ c ^ d;
      const sum = (a + mixed + (message[order[step] as number] as number) + constant) | 0;
      const turn = turns[step & 3] as number;
      a = d;
      d = c;
      c = b;
      b = (sum << turn) | (sum >>> (32 - turn));
    }
  }
  state[0] = (state[0] as number) + a;
  state[1] = (state[1] as number) + b;
  state[2] = (state[2] as number) + c;
  state[3] = (state[3] as number) + d;
}
