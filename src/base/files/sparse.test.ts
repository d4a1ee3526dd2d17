import { expect, test } from "bun:test";
import fc from "fast-check";
import { KiB } from "#base/size.ts";
import { nonZeroParts } from "./sparse.ts";

test("nonZeroParts() leaves out nothing but zeros, and large pieces of them", () => {
  const length = 256 * KiB;
  const places = fc.array(fc.nat(length - 1), { maxLength: 6 });
  fc.assert(
    fc.property(places, fc.integer({ min: 1, max: length }), (at, used) => {
      const bytes = new Uint8Array(length);
      for (const place of at) bytes[place] = 1;
      const written = new Uint8Array(used);
      let end = 0;
      for (const [start, partEnd] of nonZeroParts(bytes, { length: used })) {
        expect(start).toBeGreaterThanOrEqual(end);
        expect(partEnd).toBeLessThanOrEqual(used);
        written.set(bytes.subarray(start, partEnd), start);
        end = partEnd;
      }
      expect(Buffer.compare(written, bytes.subarray(0, used))).toBe(0);
    }),
    { numRuns: 100 },
  );
  expect(nonZeroParts(new Uint8Array(length))).toEqual([]);
  const one = new Uint8Array(length);
  one[130 * KiB] = 1;
  expect(nonZeroParts(one)).toEqual([[128 * KiB, 192 * KiB]]);
});
