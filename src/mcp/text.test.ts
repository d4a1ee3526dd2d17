import { expect, test } from "bun:test";
import fc from "fast-check";
import { bangerErrorOf } from "#test/expect-error.ts";
import { bytesOf, Excerpt, firstOf, textOf } from "./text.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

test("an excerpt keeps what fits, and the beginning and end of what does not", () => {
  const short = new Excerpt(10);
  for (const part of ["one ", "two"]) short.take(bytes(part));
  expect([short.text(), short.omitted_bytes]).toEqual(["one two", 0]);
  const long = new Excerpt(8);
  for (const part of ["abc", "def", "ghi", "jkl"]) long.take(bytes(part));
  expect([long.text(), long.omitted_bytes]).toEqual(["abcd\n[… 4 bytes left out …]\nijkl", 4]);
});

test("an excerpt is the same however the output was cut", () => {
  fc.assert(
    fc.property(
      fc.array(fc.string({ unit: "grapheme-ascii", maxLength: 40 })),
      fc.integer({ min: 1, max: 50 }),
      (parts, max) => {
        const [whole, cut] = [new Excerpt(max), new Excerpt(max)];
        whole.take(bytes(parts.join("")));
        for (const part of parts) cut.take(bytes(part));
        expect(cut.text()).toBe(whole.text());
        expect(cut.total_bytes).toBe(parts.join("").length);
      },
    ),
  );
});

test("bytes are text unless they cannot be, and a cut character is left to the next piece", () => {
  expect(textOf(bytes("é"), { isCut: false })).toBe("é");
  expect(textOf(bytes("aé").subarray(0, 2), { isCut: true })).toBe("a");
  expect(textOf(bytes("aé").subarray(0, 2), { isCut: false })).toBeUndefined();
  expect(textOf(bytes("a🙂").subarray(0, 4), { isCut: true })).toBe("a");
  expect(textOf(new Uint8Array([0x61, 0]), { isCut: false })).toBeUndefined();
  expect(textOf(new Uint8Array(), { isCut: false })).toBe("");
});

test("content is utf8 or base64, and nothing else passes for it", async () => {
  expect(bytesOf("é", "utf8")).toEqual(bytes("é"));
  expect([...bytesOf("AAEC\n", "base64")]).toEqual([0, 1, 2]);
  const bad = await bangerErrorOf((async () => bytesOf("a b!", "base64"))());
  expect(bad.code).toBe("invalid_argument");
});

test("of many, the first are given and the rest is counted", () => {
  expect(firstOf([1, 2, 3], 2)).toEqual({ first: [1, 2], omitted: 1 });
  expect(firstOf([1], 2)).toEqual({ first: [1], omitted: 0 });
});
