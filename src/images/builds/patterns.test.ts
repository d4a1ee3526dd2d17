import { expect, test } from "bun:test";
import fc from "fast-check";
import { BangerError } from "#base/error.ts";
import { globToRegExp, parseIgnore } from "./patterns.ts";

test("patterns match as in Go's filepath.Match, and ** over folders", () => {
  const cases: [string, string[], string[]][] = [
    ["*.txt", ["a.txt", ".txt"], ["d/a.txt", "a.txtx"]],
    ["a?c", ["abc"], ["ac", "a/c"]],
    ["[a-c]x", ["ax", "cx"], ["dx"]],
    ["[^a-c]x", ["dx"], ["ax", "/x"]],
    ["**/x", ["x", "a/x", "a/b/x"], ["ax"]],
    ["a/**", ["a/b", "a/b/c"], ["b/a"]],
    ["a\\*b", ["a*b"], ["axb"]],
    ["a.b+c", ["a.b+c"], ["axb+c"]],
  ];
  for (const [pattern, yes, no] of cases) {
    for (const name of yes)
      expect([pattern, name, globToRegExp(pattern).test(name)]).toEqual([pattern, name, true]);
    for (const name of no)
      expect([pattern, name, globToRegExp(pattern).test(name)]).toEqual([pattern, name, false]);
  }
});

test("the last pattern of .dockerignore that matches decides", () => {
  const ignore = parseIgnore(
    "# a comment\n\n/node_modules\n*.log\nbuild/\n!build/keep\n!important.log\n**/*.tmp\n",
  );
  const ignored = [
    "node_modules",
    "node_modules/x/y",
    "a.log",
    "build",
    "build/x",
    "d/e.tmp",
    "x.tmp",
  ];
  const kept = ["src/node_modules", "important.log", "build/keep", "build/keep/x", "d/a.log"];
  for (const path of ignored) expect([path, ignore.isIgnored(path)]).toEqual([path, true]);
  for (const path of kept) expect([path, ignore.isIgnored(path)]).toEqual([path, false]);
});

test("any text is a list of patterns or one of our errors", () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 60 }), fc.string({ maxLength: 20 }), (text, path) => {
      try {
        parseIgnore(text).isIgnored(path);
      } catch (error) {
        expect(error).toBeInstanceOf(BangerError);
      }
    }),
    { numRuns: 1000 },
  );
});
