import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { formatSize, parseSize } from "./size.ts";

describe("parseSize()", () => {
  test.each([
    ["4096", 4096],
    ["512M", 512 * 1024 ** 2],
    ["512MiB", 512 * 1024 ** 2],
    ["2g", 2 * 1024 ** 3],
    ["1.5 GiB", 1.5 * 1024 ** 3],
    ["16T", 16 * 1024 ** 4],
    ["12b", 12],
  ])("reads %s", (text, bytes) => {
    expect(parseSize(text)).toBe(bytes);
  });

  test("counts a bare number in the unit that the caller names", () => {
    expect(parseSize("512", 1024 ** 2)).toBe(512 * 1024 ** 2);
    expect(parseSize("512k", 1024 ** 2)).toBe(512 * 1024);
  });

  test.each(["", "M", "-1G", "1GG", "1e9", "0x10", "1 2", "9999999999T"])("refuses %p", (text) => {
    expect(() => parseSize(text)).toThrow("invalid size");
  });

  test("never gives another number than was meant for whole units", () => {
    fc.assert(
      fc.property(fc.nat(1 << 20), fc.constantFrom("K", "M", "G"), (count, unit) => {
        const factor = { K: 1024, M: 1024 ** 2, G: 1024 ** 3 }[unit] ?? 0;
        expect(parseSize(`${count}${unit}`)).toBe(count * factor);
      }),
    );
  });
});

test("formatSize() keeps three digits at the most", () => {
  expect(formatSize(12)).toBe("12 B");
  expect(formatSize(1536)).toBe("1.5 KiB");
  expect(formatSize(245 * 1024 ** 2)).toBe("245 MiB");
  expect(formatSize(1023 * 1024 ** 2)).toBe("1.0 GiB");
});
