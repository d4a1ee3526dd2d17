/**
 * Parses a Dockerfile into stages of instructions. Only checks that do not depend on variables are made here. Source:
 * docs.docker.com/reference/dockerfile.
 */
import { BangerError } from "#base/error.ts";
import { didYouMean } from "#base/similar.ts";
import { formatSize, MiB } from "#base/size.ts";
import { mountedFrom, parseMount } from "#builds/run/mounts.ts";
import { execForm } from "./exec-form.ts";
import { parseFlags } from "./flags.ts";
import { parseHealthcheck } from "./healthcheck.ts";
import type { Instruction } from "./instruction.ts";
import { atLine, wrapped } from "./line-error.ts";
import { type Line, parseLines } from "./lines.ts";
import { pairsOf } from "./pairs.ts";
import { plainWords } from "./words.ts";

export interface Stage {
  line: number;
  /** The name after AS, in lower case. */
  name: string | undefined;
  /** A reference, an image name or an earlier stage, with unexpanded variables. */
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
const KEYWORDS =
  "ADD ARG CMD COPY ENTRYPOINT ENV EXPOSE FROM HEALTHCHECK LABEL MAINTAINER ONBUILD RUN SHELL STOPSIGNAL USER VOLUME WORKDIR".split(
    " ",
  );
/** An empty command is valid. */
const MAY_BE_EMPTY = new Set(["CMD", "ENTRYPOINT", "RUN"]);
const WITH_EXEC_FORM = new Set(["ADD", "CMD", "COPY", "ENTRYPOINT", "RUN", "SHELL", "VOLUME"]);
const NO_TRIGGER = new Set(["FROM", "MAINTAINER", "ONBUILD"]);

/** `invalid_argument` with the line, `limit_exceeded`. */
export function parseDockerfile(text: string): Dockerfile {
  if (text.length > DOCKERFILE_MAX_BYTES) {
    throw new BangerError(
      "limit_exceeded",
      `Cannot read the Dockerfile: larger than ${formatSize(DOCKERFILE_MAX_BYTES)}`,
    );
  }
  const { escapeChar, instructions: lines } = parseLines(text);
  const globals: Instruction[] = [];
  const stages: (Stage & { instructions: Instruction[] })[] = [];
  for (const line of lines) {
    const instruction = toInstruction(line, escapeChar);
    // Paths, variables and arguments cannot have a NUL; here-documents may.
    if (`${instruction.rest}${instruction.text}`.includes("\0")) {
      throw atLine(instruction, `${instruction.keyword} contains a NUL byte`);
    }
    const stage = stages.at(-1);
    if (instruction.keyword === "FROM") stages.push(toStage(instruction));
    else if (stage) stage.instructions.push(instruction);
    else if (instruction.keyword === "ARG") globals.push(instruction);
    else throw atLine(instruction, `${instruction.keyword} before the first FROM`);
  }
  if (stages.length === 0) {
    throw new BangerError("invalid_argument", "Cannot read the Dockerfile: no FROM instruction");
  }
  return { escapeChar, globals, stages };
}

/** Parses an ONBUILD trigger of the base, for a stage that begins at `line`. */
export function parseTrigger(text: string, { line }: { line: number }): Instruction {
  const { escapeChar, instructions } = parseLines(text);
  const [first, ...more] = instructions;
  if (!first || more.length > 0 || NO_TRIGGER.has(first.keyword)) {
    throw atLine({ line }, `invalid ONBUILD instruction in the base image: ${text}`);
  }
  return { ...toInstruction({ ...first, line }, escapeChar), isTrigger: true };
}

function toInstruction(line: Line, escapeChar: string): Instruction {
  const { keyword, rest } = line;
  if (!KEYWORDS.includes(keyword)) {
    throw atLine(line, `unknown instruction "${keyword}"`, {
      hint: didYouMean(keyword, KEYWORDS),
    });
  }
  try {
    const instruction = { ...line, ...parseFlags(keyword, line.flags) };
    if (rest === "" && !MAY_BE_EMPTY.has(keyword)) {
      throw atLine(line, `${keyword} requires an argument`);
    }
    check(instruction, escapeChar);
    return instruction;
  } catch (error) {
    throw wrapped(line, error);
  }
}

/** Checks that do not depend on variables. */
function check(instruction: Instruction, escapeChar: string): void {
  const { keyword, rest } = instruction;
  const strings = WITH_EXEC_FORM.has(keyword) ? execForm(rest) : undefined;
  if (keyword === "SHELL" && !strings?.length) {
    throw atLine(instruction, "SHELL requires a JSON array of strings");
  }
  if (keyword === "RUN" && strings?.length === 0)
    throw atLine(instruction, "RUN requires a command");
  for (const text of instruction.lists.get("mount") ?? []) {
    mountedFrom(text);
    // Text with variables is checked after expansion.
    if (!text.includes("$")) parseMount(text, { expand: (word) => word, workdir: "/" });
  }
  if (keyword === "ENV" || keyword === "LABEL") pairsOf(rest, escapeChar);
  if (keyword === "HEALTHCHECK") parseHealthcheck(instruction);
  if (keyword === "ADD" || keyword === "COPY") {
    if ((strings ?? plainWords(rest)).length < 2) {
      throw atLine(instruction, `${keyword} requires at least one source and a target`);
    }
  }
  if (keyword === "ONBUILD") {
    const trigger = rest.split(/\s/, 1)[0]?.toUpperCase() ?? "";
    if (NO_TRIGGER.has(trigger)) {
      throw atLine(instruction, `ONBUILD does not support ${[...NO_TRIGGER].join(", ")}`);
    }
  }
}

function toStage(instruction: Instruction): Stage & { instructions: Instruction[] } {
  const [base = "", as, name, ...more] = plainWords(instruction.rest);
  if (as !== undefined && (as.toUpperCase() !== "AS" || name === undefined || more.length > 0)) {
    throw atLine(instruction, "FROM requires an image, with an optional AS NAME");
  }
  const key = name?.toLowerCase();
  if (key !== undefined && !/^[a-z][a-z0-9-_.]*$/.test(key)) {
    throw atLine(instruction, `invalid stage name "${name}"`);
  }
  const platform = instruction.flags.get("platform");
  return { line: instruction.line, name: key, base, platform, instructions: [] };
}
