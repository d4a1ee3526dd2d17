/**
 * A Dockerfile as stages of instructions. The parser finds the instructions, their flags and
 * here-documents; what an instruction means is decided while it is carried out, since variables
 * have a say in it. Source: docs.docker.com/reference/dockerfile.
 */
import {
  DockerfileParser,
  type Instruction as Parsed,
  type Heredoc as ParsedHeredoc,
} from "dockerfile-ast";
import { BangerError } from "#base/error.ts";
import { formatSize, MiB } from "#base/size.ts";
import { splitWords } from "./words.ts";

export interface Heredoc {
  name: string;
  content: string;
  /** Whether variables in it are replaced. */
  isExpanded: boolean;
}

export interface Instruction {
  /** Counts from 1. */
  line: number;
  /** In upper case. */
  keyword: string;
  flags: ReadonlyMap<string, string>;
  /** All on one line, without flags; variables as they stand. */
  rest: string;
  heredocs: readonly Heredoc[];
  /** The lines of the file behind the first, as they stand, for a RUN with here-documents. */
  body: string;
}

export interface Stage {
  line: number;
  /** Behind AS. */
  name: string | undefined;
  /** A reference, an image's name or an earlier stage, variables not replaced yet. */
  base: string;
  platform: string | undefined;
  instructions: readonly Instruction[];
}

export interface Dockerfile {
  escapeChar: string;
  /** ARG instructions before the first FROM. */
  globals: readonly Instruction[];
  stages: readonly Stage[];
}

const DOCKERFILE_MAX_BYTES = MiB;
const INSTRUCTIONS_MAX = 10_000;
const KEYWORDS = new Set(
  "ADD ARG CMD COPY ENTRYPOINT ENV EXPOSE FROM HEALTHCHECK LABEL MAINTAINER ONBUILD RUN SHELL STOPSIGNAL USER VOLUME WORKDIR".split(
    " ",
  ),
);

/** `invalid_argument` with the line, `limit_exceeded`. */
export function parseDockerfile(text: string): Dockerfile {
  if (text.length > DOCKERFILE_MAX_BYTES) {
    throw new BangerError(
      "limit_exceeded",
      `Cannot read the Dockerfile: it is longer than ${formatSize(DOCKERFILE_MAX_BYTES)}`,
    );
  }
  const source = text.replace(/^\uFEFF/, "").replaceAll("\r\n", "\n");
  const parsed = DockerfileParser.parse(source);
  const escapeChar = parsed.getEscapeCharacter();
  const all = parsed.getInstructions();
  if (all.length > INSTRUCTIONS_MAX) {
    throw new BangerError(
      "limit_exceeded",
      `Cannot read the Dockerfile: it has more than ${INSTRUCTIONS_MAX} instructions`,
    );
  }
  const instructions = all.map((each) =>
    toInstruction(each, { lines: source.split("\n"), escapeChar }),
  );
  const globals: Instruction[] = [];
  const stages: (Stage & { instructions: Instruction[] })[] = [];
  for (const instruction of instructions) {
    const stage = stages.at(-1);
    if (instruction.keyword === "FROM") stages.push(toStage(instruction, { escapeChar, stages }));
    else if (stage) stage.instructions.push(instruction);
    else if (instruction.keyword === "ARG") globals.push(instruction);
    else throw atLine(instruction, `${instruction.keyword} stands before the first FROM`);
  }
  if (stages.length === 0) {
    throw new BangerError("invalid_argument", "Cannot read the Dockerfile: it has no FROM");
  }
  return { escapeChar, globals, stages };
}

/** An error about one line; a deeper one keeps its kind. */
export function atLine(
  { line }: { line: number },
  problem: string,
  options: { code?: BangerError["code"]; hint?: string | undefined; cause?: unknown } = {},
): BangerError {
  const { code = "invalid_argument", hint, cause } = options;
  return new BangerError(code, `Cannot build line ${line} of the Dockerfile: ${problem}`, {
    ...(hint ? { hint } : {}),
    ...(cause ? { cause } : {}),
  });
}

/** The strings of a JSON array; undefined for anything else. */
export function execForm(rest: string): string[] | undefined {
  if (!rest.trimStart().startsWith("[")) return undefined;
  try {
    const value: unknown = JSON.parse(rest);
    const isStrings = Array.isArray(value) && value.every((each) => typeof each === "string");
    return isStrings ? (value as string[]) : undefined;
  } catch {
    // A shell has commands that begin with "[" too.
    return undefined;
  }
}

function toInstruction(
  parsed: Parsed,
  { lines, escapeChar }: { lines: readonly string[]; escapeChar: string },
): Instruction {
  const line = parsed.getRange().start.line + 1;
  const keyword = parsed.getKeyword();
  if (!KEYWORDS.has(keyword)) throw atLine({ line }, `there is no instruction "${keyword}"`);
  const raw = parsed.getRawArgumentsContent() ?? "";
  const { rest, body } = joinLines(raw, escapeChar);
  const flags = new Map<string, string>();
  const modified = parsed as {
    getFlags?: () => { getName(): string; getValue(): string | null }[];
  };
  for (const flag of modified.getFlags?.() ?? []) {
    const name = flag.getName();
    if (flags.has(name) && name !== "mount" && name !== "exclude") {
      throw atLine({ line }, `--${name} is given twice`);
    }
    flags.set(name, flag.getValue() ?? "");
  }
  const documents =
    (parsed as unknown as { getHeredocs?: () => ParsedHeredoc[] }).getHeredocs?.() ?? [];
  const marks = [...rest.matchAll(/<<(-?)(["']?)([A-Za-z_]\w*)\2/g)];
  const heredocs = documents.map((document): Heredoc => {
    const mark = marks.find((each) => each[3] === document.getName());
    const content = contentOf(document, lines);
    return {
      name: document.getName(),
      content: mark?.[1] ? content.replace(/^\t+/gm, "") : content,
      isExpanded: !mark?.[2],
    };
  });
  if (rest === "") throw atLine({ line }, `${keyword} says nothing`);
  return { line, keyword, flags, rest, heredocs, body };
}

/** Comments and empty lines between continued lines are none of the instruction's. */
function joinLines(raw: string, escapeChar: string): { rest: string; body: string } {
  const lines = raw.split("\n");
  let rest = "";
  let at = 0;
  for (; at < lines.length; at++) {
    const line = lines[at] ?? "";
    if (at > 0 && /^\s*(#|$)/.test(line)) continue;
    const end = line.trimEnd();
    if (!end.endsWith(escapeChar)) {
      rest += line;
      break;
    }
    rest += end.slice(0, -1);
  }
  return { rest: rest.trim(), body: lines.slice(at + 1).join("\n") };
}

function contentOf(document: ParsedHeredoc, lines: readonly string[]): string {
  const range = document.getContentRange();
  if (!range) return "";
  return lines
    .slice(range.start.line, range.end.line + 1)
    .map((line) => `${line}\n`)
    .join("");
}

function toStage(
  instruction: Instruction,
  { escapeChar, stages }: { escapeChar: string; stages: readonly Stage[] },
): Stage & { instructions: Instruction[] } {
  const [base = "", as, name, ...more] = splitWords(instruction.rest, escapeChar);
  const isNamed = as !== undefined;
  if (isNamed && (as.toUpperCase() !== "AS" || name === undefined || more.length > 0)) {
    throw atLine(instruction, "FROM takes an image, and a name behind AS");
  }
  if (name !== undefined && !/^[a-z][a-z0-9-_.]*$/i.test(name)) {
    throw atLine(instruction, `"${name}" is no name of a stage`);
  }
  const key = name?.toLowerCase();
  if (key !== undefined && stages.some((stage) => stage.name === key)) {
    throw atLine(instruction, `two stages have the name "${key}"`);
  }
  const unknown = [...instruction.flags.keys()].find((flag) => flag !== "platform");
  if (unknown) throw atLine(instruction, `FROM has no flag --${unknown}`);
  return {
    line: instruction.line,
    name: key,
    base,
    platform: instruction.flags.get("platform"),
    instructions: [],
  };
}
