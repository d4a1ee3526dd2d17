/**
 * Splits a Dockerfile into instructions: parser directives, comments, continuation lines, flags and here-documents,
 * as in BuildKit's parser.
 */
import { BangerError } from "#base/error.ts";
import { execForm } from "./exec-form.ts";
import { type Heredoc, type HeredocMark, heredocsOf } from "./heredoc.ts";
import { atLine, wrapped } from "./line-error.ts";

/** A flag as written; the value is undefined without "=". */
export interface WrittenFlag {
  name: string;
  value: string | undefined;
}

export interface Line {
  /** Counts from 1. */
  line: number;
  /** In upper case. */
  keyword: string;
  flags: readonly WrittenFlag[];
  /** The arguments after the flags, on one line, unexpanded. */
  rest: string;
  /** The whole instruction as written on one line, without here-documents. */
  text: string;
  heredocs: readonly Heredoc[];
}

export interface Lines {
  escapeChar: string;
  instructions: readonly Line[];
}

const INSTRUCTIONS_MAX = 10_000;
const DIRECTIVE = /^#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*$/;
const DIRECTIVES = new Set(["syntax", "escape", "check"]);
const WITH_HEREDOCS = new Set(["ADD", "COPY", "RUN"]);

/** `invalid_argument` with the line, `limit_exceeded`. */
export function parseLines(text: string): Lines {
  const lines = text.replace(/^\uFEFF/, "").split(/(?<=\n)/);
  const escapeChar = escapeOf(lines);
  const instructions: Line[] = [];
  for (let at = 0; at < lines.length; ) {
    const start = at + 1;
    const joined = join(lines, { at, escapeChar });
    at = joined.next;
    if (joined.text === "") continue;
    const line = toLine(joined.text, { line: start, escapeChar });
    const marks = marksOf(line, joined.text);
    const heredocs = marks.map((mark) => {
      const body = readHeredoc(lines, { at, mark, line: start });
      at = body.next;
      return { ...mark, content: body.content };
    });
    instructions.push({ ...line, heredocs });
    if (instructions.length > INSTRUCTIONS_MAX) {
      throw new BangerError(
        "limit_exceeded",
        `Cannot read the Dockerfile: more than ${INSTRUCTIONS_MAX} instructions`,
      );
    }
  }
  return { escapeChar, instructions };
}

/** Directives come first, each at most once. */
function escapeOf(lines: readonly string[]): string {
  let escapeChar = "\\";
  const seen = new Set<string>();
  for (const [index, line] of lines.entries()) {
    const [, key = "", value = ""] = DIRECTIVE.exec(line.trim()) ?? [];
    const name = key.toLowerCase();
    if (!DIRECTIVES.has(name)) break;
    if (seen.has(name))
      throw atLine({ line: index + 1 }, `duplicate parser directive "# ${name}="`);
    seen.add(name);
    if (name !== "escape") continue;
    if (value !== "\\" && value !== "`") {
      throw atLine({ line: index + 1 }, `invalid escape character "${value}": use \\ or \``);
    }
    escapeChar = value;
  }
  return escapeChar;
}

/** Joins continuation lines; skips comments and empty lines between them. */
function join(
  lines: readonly string[],
  { at, escapeChar }: { at: number; escapeChar: string },
): { text: string; next: number } {
  const mark = escapeChar === "\\" ? "\\\\" : escapeChar;
  const continues = new RegExp(`(^|[^${mark}])${mark}[ \\t]*$`);
  let text = "";
  for (let next = at; next < lines.length; next++) {
    const isFirst = next === at;
    const line = lines[next]?.replace(/[\r\n]+$/, "") ?? "";
    const isSkipped = /^\s*(#|$)/.test(line);
    if (isSkipped && isFirst) return { text: "", next: next + 1 };
    if (isSkipped) continue;
    const own = isFirst ? line.trimStart() : line;
    const match = continues.exec(own);
    text += match ? own.slice(0, match.index) + match[1] : own;
    if (!match) return { text: text.trim(), next: next + 1 };
  }
  return { text: text.trim(), next: lines.length };
}

function toLine(
  text: string,
  { line, escapeChar }: { line: number; escapeChar: string },
): Omit<Line, "heredocs"> {
  const [, keyword = "", args = ""] = /^(\S+)(?:[\t\v\f\r ]+([\s\S]*))?$/.exec(text) ?? [];
  const { flags, rest } = splitFlags(args, { line, escapeChar });
  return { line, keyword: keyword.toUpperCase(), flags, rest: rest.trim(), text };
}

/** Flags end at the first other word; their quotes and escapes are resolved. */
function splitFlags(
  args: string,
  { line, escapeChar }: { line: number; escapeChar: string },
): { flags: WrittenFlag[]; rest: string } {
  const flags: WrittenFlag[] = [];
  let at = 0;
  for (;;) {
    while (/\s/.test(args.charAt(at))) at++;
    if (!args.startsWith("--", at)) return { flags, rest: args.slice(at) };
    let word = "";
    let quote = "";
    for (; at < args.length; at++) {
      const char = args.charAt(at);
      if (quote === "" && /\s/.test(char)) break;
      if (char === quote) quote = "";
      else if (quote === "" && /["']/.test(char)) quote = char;
      else if (char === escapeChar) word += args.charAt(++at);
      else word += char;
    }
    if (word === "--") return { flags, rest: args.slice(at) };
    const equals = word.indexOf("=");
    const name = word.slice(2, equals < 0 ? undefined : equals);
    if (name === "") throw atLine({ line }, `invalid flag "${word}"`);
    flags.push({ name, value: equals < 0 ? undefined : word.slice(equals + 1) });
  }
}

function marksOf(line: Omit<Line, "heredocs">, text: string): HeredocMark[] {
  try {
    return canHaveHeredocs(line.keyword, line.rest) ? heredocsOf(text) : [];
  } catch (error) {
    throw wrapped(line, error);
  }
}

/** ONBUILD has those of its trigger. */
function canHaveHeredocs(keyword: string, rest: string): boolean {
  if (keyword === "ONBUILD") {
    const [, inner = "", innerRest = ""] = /^(\S+)\s*([\s\S]*)$/.exec(rest) ?? [];
    return canHaveHeredocs(inner.toUpperCase(), innerRest) && inner.toUpperCase() !== "ONBUILD";
  }
  return WITH_HEREDOCS.has(keyword) && rest.includes("<<") && execForm(rest) === undefined;
}

function readHeredoc(
  lines: readonly string[],
  { at, mark, line }: { at: number; mark: HeredocMark; line: number },
): { content: string; next: number } {
  let content = "";
  for (let next = at; next < lines.length; next++) {
    const own = lines[next] ?? "";
    const bare = own.replace(/[\r\n]+$/, "");
    if ((mark.hasTabs ? bare.replace(/^\t+/, "") : bare) === mark.name) {
      return { content, next: next + 1 };
    }
    content += own;
  }
  throw atLine({ line }, `unterminated here-document "${mark.name}"`, {
    hint: `Terminate it with a line that contains only ${mark.name}`,
  });
}
