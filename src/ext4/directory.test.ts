import { describe, expect, test } from "bun:test";
import { parseDirectoryBlock } from "#ext4/read/directory.ts";
import { get16, get32 } from "./bytes.ts";
import { type DirectoryInput, writeDirectory } from "./directory.ts";
import { directoryHash } from "./directory-hash.ts";
import { BLOCK_BYTES, modes } from "./format.ts";

/** MD4's, which a file system without a seed of its own uses. */
const MD4_SEED = Int32Array.of(0x67452301, 0xefcdab89 | 0, 0x98badcfe | 0, 0x10325476);
const CHECKSUM_SEED = 0x12345678;

describe("the hash of a name", () => {
  // Each as `debugfs -R "dx_hash -h half_md4 …"` prints it.
  test.each([
    ["abcd", MD4_SEED, "ad7557a8"],
    ["y".repeat(101), MD4_SEED, "2a2546d6"],
    ["abcd", uuidWords("00112233445566778899aabbccddeeff"), "f4e4a464"],
  ])("%s", (name, seed, expected) => {
    expect(directoryHash(Buffer.from(name), seed).toString(16)).toBe(expected);
  });
});

function uuidWords(hex: string): Int32Array {
  return new Int32Array(new Uint8Array(Buffer.from(hex, "hex")).buffer);
}

function write(names: readonly string[], hashSeed = MD4_SEED): Uint8Array[] {
  const blocks: Uint8Array[] = [];
  const input: DirectoryInput = {
    inode: 12,
    parentInode: 2,
    count: names.length,
    name: (index) => Buffer.from(names[index] ?? ""),
    inodeOf: (index) => 100 + index,
    typeOf: () => modes.REGULAR,
  };
  const written = writeDirectory(input, {
    hashSeed,
    seed: CHECKSUM_SEED,
    nextBlock() {
      const block = new Uint8Array(BLOCK_BYTES);
      blocks.push(block);
      return block;
    },
  });
  expect(written).toEqual({ blocks: blocks.length, isHashed: blocks.length > 1 });
  return blocks;
}

function namesIn(blocks: readonly Uint8Array[]): Map<string, number> {
  const entries = new Map<string, number>();
  for (const block of blocks) {
    parseDirectoryBlock(block, CHECKSUM_SEED, ({ name, inode }) => {
      entries.set(Buffer.from(name).toString(), inode);
    });
  }
  return entries;
}

function numbered(count: number, length: number): string[] {
  return Array.from({ length: count }, (_, index) => `${index}-`.padEnd(length, "n"));
}

// 4096 bytes, less 24 for the dots and 12 for the checksum, hold 203 names of 9 to 12 bytes.
test.each([0, 1, 202, 203])("%p short names fit one block", (count) => {
  const names = numbered(count, 12);
  const blocks = write(names);
  expect(blocks).toHaveLength(1);
  expect([...namesIn(blocks).keys()]).toEqual(names);
});

test.each([
  [204, 12, 0],
  [5000, 20, 0],
  [507 * 15, 255, 0],
  [507 * 15 + 1, 255, 1],
  [20_000, 255, 1],
])(
  "%p names of %p bytes make a hashed tree with %p levels below the root",
  (count, length, levels) => {
    const names = numbered(count, length);
    const blocks = write(names);
    expect(blocks[0]?.[30]).toBe(levels);
    const found = namesIn(blocks);
    expect(found.size).toBe(count);
    expect(names.every((name, index) => found.get(name) === 100 + index)).toBe(true);
    for (const name of [names[0], names[count >> 1], names[count - 1]]) {
      expect(namesIn([leafOf(blocks, name ?? "")]).has(name ?? "")).toBe(true);
    }
  },
);

/** Goes from the root to the leaf that the name's hash leads to, as the kernel does. */
function leafOf(blocks: readonly Uint8Array[], name: string): Uint8Array {
  const hash = directoryHash(Buffer.from(name), MD4_SEED);
  const root = blocks[0] as Uint8Array;
  let block = search(root, 32, hash);
  if (root[30] === 1) block = search(blocks[block] as Uint8Array, 8, hash);
  return blocks[block] as Uint8Array;
}

function search(index: Uint8Array, offset: number, hash: number): number {
  const count = get16(index, offset + 2);
  let found = get32(index, offset + 4);
  for (let entry = 1; entry < count; entry++) {
    const at = offset + entry * 8;
    if (get32(index, at) <= hash) found = get32(index, at + 4);
  }
  return found;
}

test("names of one hash that go over a leaf's end are marked as going on", () => {
  // Two names of one hash, among others, so that all ways to lie in the leaves come up.
  const seen = new Map<number, string>();
  let pair: [string, string] | undefined;
  for (let number = 0; !pair; number++) {
    const name = `${number}`;
    const hash = directoryHash(Buffer.from(name), MD4_SEED);
    const other = seen.get(hash);
    if (other) pair = [other, name];
    seen.set(hash, name);
  }
  const [first, second] = pair;
  const shared = directoryHash(Buffer.from(first), MD4_SEED);
  const below = [...seen].filter(([hash]) => hash < shared).map(([, name]) => name);
  let marked = 0;
  for (let extra = 200; extra < 1000; extra++) {
    const blocks = write([...below.slice(0, extra), first, second]);
    const root = blocks[0] as Uint8Array;
    for (let entry = 1; entry < get16(root, 34); entry++) {
      if (get32(root, 32 + entry * 8) === shared + 1) marked++;
    }
  }
  expect(marked).toBeGreaterThan(0);
});
