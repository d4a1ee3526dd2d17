/** Parses a command line into a command with its input, or into the help that was requested. */
import { type Command, CommanderError } from "commander";
import { similarNames } from "#base/similar.ts";
import { type Invocation, makeProgram } from "./program.ts";
import { portCommands } from "./spec/vm-network.ts";
import { fromCommander, pathOf } from "./usage.ts";

export interface Parsed {
  /** Undefined when help was asked for instead. */
  invocation: Invocation | undefined;
  help: string;
}

/** Throws `invalid_argument`. `onCommand` learns which command it is, also when its words make no sense. */
export function parseCommand(
  words: readonly string[],
  onCommand: (path: string) => void = () => {},
): Parsed {
  let invocation: Invocation | undefined;
  let help = "";
  const write = (text: string): void => {
    help += text;
  };
  const meant = rewrite(words);
  const program = makeProgram(meant, (found) => {
    invocation = found;
  });
  prepare(program, { write, onCommand });
  // Before its values are read, which may be wrong.
  program.hook("preAction", (_, command) => onCommand(typedPath(command)));
  try {
    program.parse(meant, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
  }
  return { invocation, help };
}

/** What other programs have taught: "help vm run" is "vm run --help", "--version" is "version". */
function rewrite(words: readonly string[]): readonly string[] {
  const [first, ...rest] = words;
  if (first === "help") return [...rest, "--help"];
  if (first === "--version" || first === "-V") return ["version", ...rest];
  return asPortList(words);
}

/** "vm port NAME [PORT]" is docker's form of "vm port list". */
function asPortList(words: readonly string[]): readonly string[] {
  const at = words.findIndex((word) => !word.startsWith("-"));
  const next = words[at + 2];
  if (words[at] !== "vm" || words[at + 1] !== "port" || !next || next.startsWith("-")) return words;
  const known = Object.entries(portCommands.commands).flatMap(([name, { aliases = [] }]) => [
    name,
    ...aliases,
  ]);
  if (similarNames(next, known).length > 0) return words;
  return [...words.slice(0, at + 2), "list", ...words.slice(at + 2)];
}

/** Without the program's own name. */
function typedPath(command: Command): string {
  return pathOf(command).split(" ").slice(1).join(" ");
}

/** On every command, since those that are added ready-made inherit nothing. */
function prepare(
  command: Command,
  hooks: { write: (text: string) => void; onCommand: (path: string) => void },
): void {
  const { write, onCommand } = hooks;
  command.configureOutput({ writeOut: write, writeErr: write, outputError() {} });
  command.exitOverride((error) => {
    onCommand(typedPath(command));
    // Help that was asked for has been written; it ends the parsing like a mistake does.
    throw error.code.startsWith("commander.help") ? error : fromCommander(error, command);
  });
  for (const child of command.commands) prepare(child, hooks);
}
