import { expect, test } from "bun:test";
import fc from "fast-check";
import { BangerError } from "#base/error.ts";
import { execForm, parseDockerfile } from "./dockerfile.ts";

function instructions(text: string) {
  return parseDockerfile(`FROM scratch\n${text}`).stages[0]?.instructions ?? [];
}

test("stages, names, platforms and arguments before the first FROM", () => {
  const file = parseDockerfile(
    "# syntax=docker/dockerfile:1\nARG V=1\nFROM --platform=linux/amd64 debian:$V AS Build\nRUN a\nfrom build\n",
  );
  expect(file.globals.map(({ rest }) => rest)).toEqual(["V=1"]);
  expect(file.stages).toMatchObject([
    { name: "build", base: "debian:$V", platform: "linux/amd64", line: 3 },
    { name: undefined, base: "build", line: 5 },
  ]);
});

test("continued lines are one, without the comments and empty lines between them", () => {
  const [run] = instructions("RUN a && \\\n  # not this\n\n  b   'c  d' # but this\nRUN e");
  expect(run).toMatchObject({ line: 2, rest: "a &&   b   'c  d' # but this" });
  const escaped = parseDockerfile("# escape=`\nFROM scratch\nRUN a `\n  b\\c\n");
  expect(escaped.stages[0]?.instructions[0]?.rest).toBe("a   b\\c");
});

test("flags and here-documents are apart from the rest", () => {
  const [copy, run] = instructions(
    'COPY --chown=1:2 --chmod=644 <<-"A" <<B /to/\n\tone $X\nA\ntwo\nB\nRUN <<EOF cat\nx\nEOF\n',
  );
  expect([...(copy?.flags ?? [])]).toEqual([
    ["chown", "1:2"],
    ["chmod", "644"],
  ]);
  expect(copy?.heredocs).toEqual([
    { name: "A", content: "one $X\n", isExpanded: false },
    { name: "B", content: "two\n", isExpanded: true },
  ]);
  expect(run).toMatchObject({ rest: "<<EOF cat", body: "x\nEOF" });
});

test("only an array of strings is the exec form", () => {
  expect(execForm('["a b", "c"]')).toEqual(["a b", "c"]);
  for (const text of ["[ -e x ] && y", "['a']", "[1]", "a"]) expect(execForm(text)).toBeUndefined();
});

test("mistakes are named with their line", () => {
  const cases: [string, string][] = [
    ["", "no FROM"],
    ["RUN x\nFROM scratch", "line 1 of the Dockerfile: RUN stands before"],
    ["FROM scratch\nRNU x", 'line 2 of the Dockerfile: there is no instruction "RNU"'],
    ["FROM a AS b\nFROM c AS B", "two stages"],
    ["FROM a b c", "takes an image"],
    ["FROM --nope=1 a", "no flag --nope"],
    ["FROM scratch\nRUN", "says nothing"],
  ];
  for (const [text, problem] of cases) expect(() => parseDockerfile(text)).toThrow(problem);
});

test("any text is a Dockerfile or one of our errors", () => {
  const line = fc.oneof(
    fc.string({ maxLength: 40 }),
    fc.constantFrom(
      "FROM a AS b",
      "RUN <<E",
      "E",
      "COPY --from=b x y",
      "ENV a=\\",
      "# escape=`",
      '["',
    ),
  );
  fc.assert(
    fc.property(fc.array(line, { maxLength: 12 }), (lines) => {
      try {
        parseDockerfile(lines.join("\n"));
      } catch (error) {
        expect(error).toBeInstanceOf(BangerError);
      }
    }),
    { numRuns: 2000 },
  );
});
