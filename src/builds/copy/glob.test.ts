import { expect, test } from "bun:test";
import fc from "fast-check";
import { BangerError } from "#base/error.ts";
import { compileDeepGlob, compileGlob, hasWildcard } from "./glob.ts";

type Row = [pattern: string, yes: string[], no: string[]];

function expectRows(compile: typeof compileGlob, rows: readonly Row[]): void {
  for (const [pattern, yes, no] of rows) {
    const glob = compile(pattern);
    for (const name of yes) expect([pattern, name, glob(name)]).toEqual([pattern, name, true]);
    for (const name of no) expect([pattern, name, glob(name)]).toEqual([pattern, name, false]);
  }
}

const SHARED: Row[] = [
  ["*.txt", ["a.txt", ".txt"], ["d/a.txt", "a.txtx"]],
  ["a?c", ["abc", "aéc", "a😀c"], ["ac", "a/c"]],
  ["[a-c]x", ["ax", "cx"], ["dx"]],
  ["[^a-c]x", ["dx"], ["ax"]],
  ["[!a]x", ["!x", "ax"], ["bx"]],
  ["[[]a]", ["[a]"], ["a"]],
  ["[\\]a]x", ["]x", "ax"], ["bx"]],
  ["a\\*b", ["a*b"], ["axb"]],
  ["a.b+c(d)|{e}$^", ["a.b+c(d)|{e}$^"], ["axb+c"]],
  ["*a*a*a*b", ["aaab", "xaxaxaxb"], ["aaa", "aab"]],
];

test("patterns of sources match as Go's filepath.Match", () => {
  expectRows(compileGlob, [
    ...SHARED,
    ["**/x", ["a/x"], ["x", "a/b/x"]],
    ["a/**", ["a/b"], ["a", "a/b/c"]],
    ["*/c", ["b/c"], ["c", "a/b/c"]],
  ]);
});

test("patterns of .dockerignore match any number of folders with **", () => {
  expectRows(compileDeepGlob, [
    ...SHARED,
    ["**/x", ["x", "a/x", "a/b/x"], ["ax", "x/a"]],
    ["**x", ["x", "ax", "a/bx"], ["xa"]],
    ["**x*", ["x", "a/xb"], ["ax"]],
    ["a/**", ["a/b", "a/b/c"], ["b/a", "a"]],
    ["a**", ["a", "ab", "a/b"], ["ba"]],
    ["a**b", ["ab", "ax/b", "a/x/b"], ["axb"]],
    ["a/**/b", ["a/b", "a/x/b", "a/x/y/b"], ["a/xb"]],
    ["**/*.log", ["x.log", "a/b/x.log"], ["x.log/a"]],
    ["**/a/**", ["a/b", "x/a/b/c"], ["a", "xa/b"]],
    ["**", ["a", "a/b"], []],
  ]);
});

test("a pattern that is none is refused", () => {
  for (const pattern of ["[", "[]", "[]a]", "[^]", "[a-]", "[-a]", "a[b", "a\\", "[\\"]) {
    expect(() => compileGlob(pattern)).toThrow(`syntax error in pattern "${pattern}"`);
  }
});

test("only a wildcard that is not escaped names more than itself", () => {
  expect(["a", "a\\*b", "[", "*", "a?", "\\\\*"].map(hasWildcard)).toEqual([
    false,
    false,
    true,
    true,
    true,
    true,
  ]);
});

test("any text is a pattern or one of our errors", () => {
  const chars = fc.constantFrom(..."ab*?[]^-\\/!é".split(""));
  const text = fc.array(chars, { maxLength: 20 }).map((parts) => parts.join(""));
  fc.assert(
    fc.property(text, text, (pattern, name) => {
      for (const compile of [compileGlob, compileDeepGlob]) {
        try {
          compile(pattern)(name);
        } catch (error) {
          expect(error).toBeInstanceOf(BangerError);
        }
      }
    }),
    { numRuns: 1000 },
  );
});

test("a pattern of many wildcards takes no more time than its length times the name's", () => {
  const pattern = "*a".repeat(500);
  expect(compileGlob(`${pattern}b*c`)(`${"a".repeat(4000)}c`)).toBe(false);
  expect(compileDeepGlob(`${"**/*a".repeat(200)}b*c`)(`${"a/".repeat(2000)}c`)).toBe(false);
});
