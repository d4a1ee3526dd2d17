import { expect, test } from "bun:test";
import fc from "fast-check";
import { BangerError } from "#base/error.ts";
import { PatternList, parseIgnore } from "./patterns.ts";

test("the last pattern of .dockerignore that matches decides", () => {
  const ignore = parseIgnore(
    "# a comment\n\n/node_modules\n*.log\nbuild/\n! build/keep \n!important.log\n**/*.tmp\nnaïve\n.\n/\n",
  );
  const ignored = [
    "node_modules",
    "node_modules/x/y",
    "a.log",
    "build",
    "build/x",
    "d/e.tmp",
    "x.tmp",
    Buffer.from("naïve").toString("latin1"),
  ];
  const kept = ["src/node_modules", "important.log", "build/keep", "build/keep/x", "d/a.log"];
  for (const path of [...ignored, ...kept, ...ignored.reverse()]) {
    expect([path, ignore.matches(path)]).toEqual([path, ignored.includes(path)]);
  }
});

test("an exception may be below a folder as long as its fixed beginning leads there", () => {
  const list = new PatternList(["*", "!a/b/c", "!x/*/y", "z"]);
  const may = (path: string) => list.mayMatchBelow(path, { exceptions: true });
  expect(["", "a", "a/b", "x", "x/1", "x/1/2"].map(may)).toEqual([
    true,
    true,
    true,
    true,
    true,
    true,
  ]);
  expect(["b", "a/b/c", "a/x", "z", "a/b/cd"].map(may)).toEqual([false, true, false, false, false]);
});

test("what is no pattern is refused with its line", () => {
  for (const text of ["\n!\n", "\n[a\n"]) {
    expect(() => parseIgnore(text)).toThrow("Cannot read line 2 of .dockerignore: ");
  }
});

test("any text is a list of patterns or one of our errors", () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 60 }), fc.string({ maxLength: 20 }), (text, path) => {
      try {
        parseIgnore(text).matches(path);
      } catch (error) {
        expect(error).toBeInstanceOf(BangerError);
      }
    }),
    { numRuns: 1000 },
  );
});
