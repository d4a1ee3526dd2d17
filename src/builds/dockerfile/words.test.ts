import { expect, test } from "bun:test";
import fc from "fast-check";
import { BangerError } from "#base/error.ts";
import { expandWord, expandWords, plainWords, splitWords } from "./words.ts";

const values: Record<string, string> = {
  A: "one",
  B: "two words",
  EMPTY: "",
  FILE: "/srv/app/tool-1.2.3.tar.gz",
  VERSION: "v1.22.4",
  KO: "한국어",
  LINES: "a\nb",
  SPACED: "  ab c  ",
  STAR: "a*b?c",
};
const options = { escapeChar: "\\", lookup: (name: string) => values[name] };

function expectWords(cases: readonly [string, string][]): void {
  const found = cases.map(([word]) => [word, expandWord(word, options)]);
  expect(found).toEqual(cases.map(([word, expected]) => [word, expected]));
}

test("variables, quotes and escapes are those of BuildKit", () => {
  expectWords([
    ["$A", "one"],
    ["${A}x", "onex"],
    ["$Ax", ""],
    ["'$A'", "$A"],
    ['"$A $B"', "one two words"],
    ["\\$A", "$A"],
    ['"\\$A \\n \\""', '$A \\n "'],
    ["a$", "a$"],
    ["$(date)", "$(date)"],
    ["$.", "$."],
    ["\\\\", "\\"],
    ["end\\", "end"],
    ["it\\'s", "it's"],
    ["'a\\'", "a\\"],
    ['"it\'s"', "it's"],
    ["안$KO.", "안한국어."],
    ["a$1b$001c$@d$$e", "abcde"],
    ["${1:-x}${@:-y}${#:+z}", "xy"],
    ["\\${}", "${}"],
    ["${A}}", "one}"],
    ["a<b <<c", "a<b <<c"],
  ]);
  expect(expandWord("`$A", { ...options, escapeChar: "`" })).toBe("$A");
  expect(expandWord("'$A' \"", { ...options, ignoresQuotes: true })).toBe("'one' \"");
});

test("substitutions look at what is set and what is empty", () => {
  expectWords([
    ["${NONE:-x$A}", "xone"],
    ["${EMPTY:-x}", "x"],
    ["${EMPTY-x}", ""],
    ["${NONE-x}", "x"],
    ["${A:+set}", "set"],
    ["${EMPTY:+set}", ""],
    ["${EMPTY+set}", "set"],
    ["${NONE+set}", ""],
    ["${NONE:-${A}}", "one"],
    ["${NONE:-${NO:-deep {x}}", "deep {x"],
    ["${NONE:-'$A'}", "$A"],
    ["${NONE:-\\$A:}", "$A:"],
    ["${A:?needed}${EMPTY?needed}", "one"],
    ["${A:+${B}:}x", "two words:x"],
  ]);
});

test("patterns cut and replace", () => {
  expectWords([
    ["${FILE##*/}", "tool-1.2.3.tar.gz"],
    ["${FILE#*/}", "srv/app/tool-1.2.3.tar.gz"],
    ["${FILE%.*}", "/srv/app/tool-1.2.3.tar"],
    ["${FILE%%.*}", "/srv/app/tool-1"],
    ["${VERSION#v}", "1.22.4"],
    ["${VERSION#x}", "v1.22.4"],
    ["${VERSION%.*}", "v1.22"],
    ["${VERSION%.?}", "v1.22"],
    ["${VERSION//./_}", "v1_22_4"],
    ["${VERSION/./_}", "v1_22.4"],
    ["${VERSION/2*./-}", "v1.-4"],
    ["${VERSION//2/}", "v1..4"],
    ["${FILE//\\//-}", "-srv-app-tool-1.2.3.tar.gz"],
    ["${FILE/${NONE:-srv}/$A}", "/one/app/tool-1.2.3.tar.gz"],
    ["${STAR#a\\*}", "b?c"],
    ["${STAR/\\?/!}", "a*b!c"],
    ["${STAR/[a]/!}", "a*b?c"],
    ["${NONE#x}${NONE//a/b}", ""],
    ["${EMPTY/*/x}", "x"],
    ["${KO/국/!}", "한!어"],
    ["${A//*/x}", "x"],
  ]);
  expectWords([["${LINES%%*}", "a\n"]]);
  const long = { ...options, lookup: () => "a".repeat(20_000) };
  expect(expandWord(`\${L//a/b}`, long)).toBe("b".repeat(20_000));
  expect(() => expandWord(`\${L//*a*a*a*a*a*a*a*a*b/}`, long)).toThrow("too complex");
});

test("what cannot be understood is refused", () => {
  const words = ["'a", '"a', '"a\\"', "${A", "${}", "${:}", "${{A}", "${A.x}", "${A:=x}"];
  const more = ["${A:#x}", "${A:/x/y}", "${A/x}", "${A/x/y", "${NONE:?needed}", "${NONE?}"];
  for (const word of [...words, ...more, "${EMPTY:?}", "${A#\\x}"]) {
    expect(() => expandWord(word, options)).toThrow(BangerError);
  }
  const deep = "${A:-".repeat(5000) + "}".repeat(5000);
  expect(() => expandWord(deep, options)).toThrow("nested too deeply");
});

test("values outside of quotes fall apart into words", () => {
  const cases: [string, string[]][] = [
    ["x${B}y", ["xtwo", "wordsy"]],
    ['x"${B}"y', ["xtwo wordsy"]],
    ["a${SPACED}b", ["a", "ab", "c", "b"]],
    ['"${SPACED}"', ["  ab c  "]],
    ["$EMPTY a", ["a"]],
    ["a\\ b c", ["a b", "c"]],
  ];
  for (const [text, words] of cases) expect(expandWords(text, options)).toEqual(words);
});

test("words are split at spaces that are neither quoted nor escaped", () => {
  expect(splitWords(` a "b c" d\\ e 'f g'h  ""`, "\\")).toEqual([
    "a",
    '"b c"',
    "d\\ e",
    "'f g'h",
    '""',
  ]);
  expect(plainWords(' a  "b c" d\\ e ')).toEqual(["a", '"b', 'c"', "d\\", "e"]);
});

test("any text is expanded or refused by one of our errors, and quoting it gives it back", () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 60 }), (text) => {
      try {
        expandWord(text, options);
        expandWords(text, { ...options, keeps: "all" });
      } catch (error) {
        expect(error).toBeInstanceOf(BangerError);
      }
      const quoted = `'${text.replaceAll("'", `'"'"'`)}'`;
      expect(expandWord(quoted, options)).toBe(text);
      expect(splitWords(quoted, "\\")).toEqual([quoted]);
    }),
  );
});
