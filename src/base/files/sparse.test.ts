import { expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { KiB, MiB } from "#base/size.ts";
import { nonZeroParts, punchZeros } from "./sparse.ts";

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

test("punchZeros() gives back what holds nothing but zeros, and changes no byte", async () => {
  const folder = mkdtempSync("/tmp/banger-sparse-");
  try {
    const path = join(folder, "file");
    const bytes = new Uint8Array(4 * MiB + 100);
    for (const at of [0, 5 * KiB, MiB - 1, MiB, 3 * MiB, bytes.length - 1]) bytes[at] = 1;
    writeFileSync(path, bytes);
    await punchZeros(path);
    expect(Buffer.compare(readFileSync(path), bytes)).toBe(0);
    expect(statSync(path).blocks * 512).toBeLessThan(256 * KiB);
    await punchZeros(path);
    expect(Buffer.compare(readFileSync(path), bytes)).toBe(0);
    const signal = AbortSignal.abort();
    await expect(punchZeros(path, { signal })).rejects.toThrow("cancelled");
  } finally {
    rmSync(folder, { recursive: true });
  }
});
