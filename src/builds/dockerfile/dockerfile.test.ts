import { expect, test } from "bun:test";
import fc from "fast-check";
import { BangerError } from "#base/error.ts";
import { parseDockerfile } from "./dockerfile.ts";
import { execForm } from "./exec-form.ts";

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
    'COPY --chown=1:2 --chmod="6"44 --link <<-"A" <<B /to/\n\tone $X\n\tA\ntwo\nB\nRUN <<EOF cat\nx\nEOF\n',
  );
  expect([...(copy?.flags ?? [])]).toEqual([
    ["chown", "1:2"],
    ["chmod", "644"],
    ["link", "true"],
  ]);
  expect(copy?.heredocs).toEqual([
    { name: "A", content: "\tone $X\n", isExpanded: false, hasTabs: true },
    { name: "B", content: "two\n", isExpanded: true, hasTabs: false },
  ]);
  expect(run).toMatchObject({ rest: "<<EOF cat", text: "RUN <<EOF cat" });
  expect(run?.heredocs.map(({ content }) => content)).toEqual(["x\n"]);
});

test("any word is the name of a here-document, and only one that stands for itself begins it", () => {
  const marks: [string, string[]][] = [
    ["COPY <<robots.txt \\\n  <<humans.txt /www/", ["robots.txt", "humans.txt"]],
    ["COPY <<'my-EOF' <<a\"b\"c /", ["my-EOF", "abc"]],
    ["RUN cat 3<<A <&3 && cat <<-B", ["A", "B"]],
    ["RUN cat << EOF > /x", ["EOF"]],
    ["ONBUILD COPY <<a /b", ["a"]],
  ];
  for (const [line, names] of marks) {
    const text = `${line}\n${names.map((name) => `of ${name}\n${name}\n`).join("")}RUN after`;
    const [first, after] = instructions(text);
    expect(first?.heredocs.map(({ name, content }) => [name, content])).toEqual(
      names.map((name) => [name, `of ${name}\n`]),
    );
    expect(after?.text).toBe("RUN after");
  }
  const none = ['RUN echo "x <<END y"', "RUN cat <<<x", "RUN x<<", "RUN a<<b<<c", 'RUN ["<<a"]'];
  const others = ["ENV A=<<b", "CMD cat <<a", "RUN echo it's '<<a'", "RUN echo 'it <<a"];
  for (const line of [...none, ...others]) {
    expect(instructions(line)[0]?.heredocs).toEqual([]);
  }
});

test("only an array of strings is the exec form", () => {
  expect(execForm('["a b", "c"]')).toEqual(["a b", "c"]);
  for (const text of ["[ -e x ] && y", "['a']", "a", '["a"] b']) {
    expect(execForm(text)).toBeUndefined();
  }
  for (const text of ["[1]", '["a", 1]', '["a", null]']) {
    expect(() => execForm(text)).toThrow("is not a string");
  }
});

test("directives stand in front, each once", () => {
  const escapeOf = (text: string) => parseDockerfile(`${text}\nFROM a`).escapeChar;
  expect(escapeOf("#escape = `")).toBe("`");
  expect(escapeOf("\uFEFF# Syntax=x\r\n# ESCAPE=`\r")).toBe("`");
  expect(escapeOf("# a comment\n# escape=`")).toBe("\\");
  expect(escapeOf("# unknown=1\n# escape=`")).toBe("\\");
  expect(escapeOf("\n# escape=`")).toBe("\\");
  expect(() => escapeOf("# escape=`\n# escape=`")).toThrow(
    'duplicate parser directive "# escape="',
  );
  expect(() => escapeOf("# escape=x")).toThrow('invalid escape character "x"');
});

test("mistakes are named with their line", () => {
  const cases: [string, string][] = [
    ["", "no FROM"],
    ["RUN x\nFROM scratch", "line 1 of the Dockerfile: RUN before"],
    ["FROM scratch\nRNU x", 'line 2 of the Dockerfile: unknown instruction "RNU"'],
    ["FROM a b c", "requires an image"],
    ["FROM a AS 1b", 'invalid stage name "1b"'],
    ["FROM --nope=1 a", "unknown flag for FROM: --nope"],
    ["FROM --platform a", "--platform requires a value"],
    ["FROM scratch\nENV", "ENV requires an argument"],
    ["FROM scratch\nENV a", 'missing value for "a"'],
    ["FROM scratch\nENV a=b c", '"c" is not NAME=VALUE'],
    ["FROM scratch\nLABEL =b", '"=b" is not NAME=VALUE'],
    ["FROM scratch\nRUN []", "RUN requires a command"],
    ["FROM scratch\nCOPY --from=a --from=b x y", "duplicate flag for COPY: --from"],
    [
      "FROM scratch\nCOPY --link=1 x y",
      'invalid value for COPY --link: "1", expected true or false',
    ],
    ["FROM scratch\nCOPY x", "at least one source"],
    ['FROM scratch\nCOPY ["x"]', "at least one source"],
    ["FROM scratch\nSHELL bash -c", "SHELL requires a JSON array"],
    ["FROM scratch\nONBUILD ONBUILD RUN x", "ONBUILD does not support"],
    ["FROM scratch\nONBUILD FROM x", "ONBUILD does not support"],
    ["FROM scratch\nHEALTHCHECK x", 'CMD with a command, or NONE, not "x"'],
    ["FROM scratch\nHEALTHCHECK CMD", "requires a command"],
    ["FROM scratch\nHEALTHCHECK NONE x", "does not take a command"],
    ["FROM scratch\nHEALTHCHECK --interval=5 CMD x", 'invalid duration for --interval: "5"'],
    ["FROM scratch\nHEALTHCHECK --timeout=-1s CMD x", "at least 1ms"],
    ["FROM scratch\nHEALTHCHECK --retries=-1 CMD x", 'invalid number for --retries: "-1"'],
    ["FROM scratch\nHEALTHCHECK --tries=1 CMD x", "unknown flag for HEALTHCHECK: --tries"],
    [
      "FROM scratch\nRUN a\n\nCOPY <<E /x\ntext\n",
      'line 4 of the Dockerfile: unterminated here-document "E"',
    ],
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

test("a NUL byte is refused outside of here-documents", () => {
  for (const text of ["WORKDIR /a\0b", "ENV A=\0", "COPY --chown=\0 a b", "RUN a \\\n\0"]) {
    expect(() => instructions(text)).toThrow("contains a NUL byte");
  }
  expect(() => execForm('["a", "b\\u0000"]')).toThrow("contains a NUL byte");
  expect(instructions("COPY <<E /a\n\0\nE\n")).toHaveLength(1);
});
