import { expect, test } from "bun:test";
import { keyBytes, keySequence } from "#cli/args/keys.ts";
import { makeDetachFilter } from "./detach.ts";

const KEYS = keySequence("ctrl-p,ctrl-q");

function type(...chunks: string[]): string {
  const filter = makeDetachFilter(KEYS);
  let passed = "";
  for (const chunk of chunks) {
    const { bytes, detached } = filter.push(new TextEncoder().encode(chunk));
    passed += new TextDecoder().decode(bytes);
    if (detached) return `${passed}|left`;
  }
  return passed;
}

test("makeDetachFilter() leaves at the keys, however they come", () => {
  expect(type("ls\u0010\u0011rest")).toBe("ls|left");
  expect(type("ls\u0010", "\u0011")).toBe("ls|left");
  expect(type("\u0010\u0010\u0011")).toBe("\u0010|left");
});

test("makeDetachFilter() passes on what only began like the keys", () => {
  expect(type("\u0010", "x")).toBe("\u0010x");
  expect(type("\u0011\u0010\u0010", "\u0010a")).toBe("\u0011\u0010\u0010\u0010a");
});

test("makeDetachFilter() without keys never leaves", () => {
  const filter = makeDetachFilter(keySequence(""));
  expect(filter.push(Uint8Array.of(16, 17))).toEqual({
    bytes: Uint8Array.of(16, 17),
    detached: false,
  });
});

test("keyBytes() knows keys by name", () => {
  expect(["enter", "ctrl-c", "^D", "Up", "f5", "x", "é"].map(keyBytes)).toEqual([
    ..."\r\u0003\u0004".split(""),
    "\u001b[A",
    "\u001b[15~",
    "x",
    "é",
  ]);
  expect(() => keyBytes("hyper-x")).toThrow("unknown key");
});
