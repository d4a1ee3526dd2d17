import { expect, test } from "bun:test";
import fc from "fast-check";
import { BangerError } from "#base/error.ts";
import { expandWord, splitWords } from "./words.ts";

const values: Record<string, string> = { A: "one", B: "two words", EMPTY: "" };
const options = { escapeChar: "\\", lookup: (name: string) => values[name] };

/** "%" stands for "$", which would look like a template's here. */
function dollars(text: string): string {
  return text.replaceAll("%", "$");
}

function withDollars([word, expected]: [string, string]): [string, string] {
  return [dollars(word), dollars(expected)];
}

test("variables, quotes and escapes are those of Docker's builder", () => {
  const cases: [string, string][] = [
    ["%A", "one"],
    ["%{A}x", "onex"],
    ["%Ax", ""],
    ["'%A'", "%A"],
    ['"%A %B"', "one two words"],
    ["\\%A", "%A"],
    ['"\\%A \\n \\""', '%A \\n "'],
    ["%{NONE:-x%A}", "xone"],
    ["%{EMPTY:-x}", "x"],
    ["%{EMPTY-x}", ""],
    ["%{A:+set}", "set"],
    ["%{EMPTY:+set}", ""],
    ["%{EMPTY+set}", "set"],
    ["%{NONE:-%{A}}", "one"],
    ["a%", "a%"],
    ["%(date)", "%(date)"],
    ["\\\\", "\\"],
    ["it\\'s", "it's"],
  ];
  for (const [word, expected] of cases.map(withDollars))
    expect([word, expandWord(word, options)]).toEqual([word, expected]);
  expect(expandWord("`$A", { ...options, escapeChar: "`" })).toBe("$A");
});

test("what cannot be understood is refused", () => {
  for (const word of ["'a", '"a', "%{A", "%{}", "%{A#x}", "%{NONE:?needed}"]) {
    expect(() => expandWord(dollars(word), options)).toThrow(BangerError);
  }
});

test("words are split at spaces that are neither quoted nor escaped", () => {
  expect(splitWords(` a "b c" d\\ e 'f g'h  ""`, "\\")).toEqual([
    "a",
    '"b c"',
    "d\\ e",
    "'f g'h",
    '""',
  ]);
});

test("any text is expanded or refused by one of our errors, and quoting it gives it back", () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 60 }), (text) => {
      try {
        for (const word of splitWords(text, "\\")) expandWord(word, options);
      } catch (error) {
        expect(error).toBeInstanceOf(BangerError);
      }
      const quoted = [...text].map((char) => `\\${char}`).join("");
      expect(expandWord(quoted, options)).toBe(text);
    }),
    { numRuns: 1000 },
  );
});
