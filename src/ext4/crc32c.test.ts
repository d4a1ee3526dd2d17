import { expect, test } from "bun:test";
import fc from "fast-check";
import { crc32c, crc32cWord } from "./crc32c.ts";

/** The usual form, inverted before and after. */
function sum(bytes: Uint8Array): string {
  return (~crc32c(~0, bytes) >>> 0).toString(16);
}

test.each([
  ["", "0"],
  ["123456789", "e3069283"],
  ["\0".repeat(32), "8a9136aa"],
  ["\xff".repeat(32), "62a8ab43"],
])("the checksum of %j is the published one", (text, expected) => {
  expect(sum(Buffer.from(text, "latin1"))).toBe(expected);
});

test("goes on from any place, at any alignment", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(100), (bytes, at) => {
      const cut = Math.min(at, bytes.length);
      const start = crc32c(~0, bytes, 0, cut);
      expect(crc32c(start, bytes, cut)).toBe(crc32c(~0, bytes));
    }),
  );
});

test("a word counts as its four bytes", () => {
  for (const word of [0, 1, 0x12345678, 0xffffffff]) {
    const bytes = new Uint8Array(new Uint32Array([word]).buffer);
    expect(crc32cWord(0xabcdef01, word)).toBe(crc32c(0xabcdef01, bytes));
  }
});
