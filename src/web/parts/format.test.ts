import { expect, test } from "bun:test";
import { parseSize } from "#base/size.ts";
import { bytesWord, parseBytes } from "./format.ts";

const GIB = 1024 ** 3;

test("sizes in forms are what the command line takes them for", () => {
  for (const text of ["10", "10B", "4096 b", "1.5g", "512MiB", "2GB", "1 TiB", " 3k "]) {
    expect(parseBytes(text, "G"), text).toBe(parseSize(text, GIB));
  }
  for (const text of ["", "10iB", "-1", "1e3", "10X", "ten", "1.G", "10 20", "9".repeat(20)]) {
    expect(parseBytes(text, "G"), text).toBeUndefined();
    expect(() => parseSize(text, GIB), text).toThrow();
  }
  expect(parseBytes(bytesWord(4097), "G")).toBe(4097);
});
