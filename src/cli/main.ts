/** The command line: parses it, runs one handler, and shows whatever goes wrong, once. */
import { type Command, CommanderError } from "commander";
import { type ErrorCode, errorCodes } from "#base/error.ts";
import { settled, writeOut } from "#base/stdio.ts";
import { currentPaths } from "#config/resolve.ts";
import type { Context } from "./context.ts";
import { pathsOfDaemon } from "./daemon/locate.ts";
import { loaderOf } from "./handlers.ts";
import { exitStatusOf, type Interrupt, watchInterrupts } from "./interrupt.ts";
import { makeOutput, type Output } from "./print/output.ts";
import { commandStatus, reportError } from "./print/report.ts";
import { type Invocation, makeProgram } from "./program.ts";
import { fromCommander, pathOf } from "./usage.ts";

/** `words` are those after the program's name. Gives the exit status, when all was written. */
export async function runCli(words: readonly string[]): Promise<number> {
  const status = await perform(words);
  await settled();
  return status;
}

async function perform(words: readonly string[]): Promise<number> {
  const interrupt = watchInterrupts();
  // Until the flags are known, an error is printed as they would most likely have it.
  let output = makeOutput({
    json: words.includes("--json"),
    quiet: false,
    noColor: words.includes("--no-color"),
  });
  let statusOf: ((code: ErrorCode) => number) | undefined;
  try {
    const invocation = await parse(words, (path) => {
      statusOf = statusOfPath(path);
    });
    if (invocation === undefined) return 0;
    output = makeOutput(invocation);
    const { run } = await loaderOf(invocation.path)();
    const status = await run(invocation, makeContext(output, interrupt));
    return status ?? 0;
  } catch (error) {
    const status = reportError(error, { ...output, statusOf });
    if (interrupt.received && status === errorCodes.cancelled.exit) {
      return exitStatusOf(interrupt.received);
    }
    return status;
  }
}

/** Undefined: the status of an error is that of its kind. */
function statusOfPath(path: string): ((code: ErrorCode) => number) | undefined {
  const name = /^(?:vm )?(run|exec)$/.exec(path)?.[1];
  if (!name) return undefined;
  return (code) => commandStatus(code, { hasTimeout: name === "exec" });
}

/** Undefined when help was printed instead. `onCommand` learns which command it is, also when its words make no sense. */
async function parse(
  words: readonly string[],
  onCommand: (path: string) => void,
): Promise<Invocation | undefined> {
  let invocation: Invocation | undefined;
  let written = "";
  const write = (text: string): void => {
    written += text;
  };
  const meant = rewrite(words);
  const program = makeProgram(meant, (found) => {
    invocation = found;
    onCommand(found.path.join(" "));
  });
  prepare(program, { write, onCommand });
  try {
    program.parse(meant, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
  }
  if (written) await writeOut(written);
  return invocation;
}

/** What other programs have taught: "help vm run" is "vm run --help", "--version" is "version". */
function rewrite(words: readonly string[]): readonly string[] {
  const [first, ...rest] = words;
  if (first === "help") return [...rest, "--help"];
  if (first === "--version" || first === "-V") return ["version", ...rest];
  return words;
}

/** On every command, since those that are added ready-made inherit nothing. */
function prepare(
  command: Command,
  hooks: { write: (text: string) => void; onCommand: (path: string) => void },
): void {
  const { write, onCommand } = hooks;
  command.configureOutput({ writeOut: write, writeErr: write, outputError() {} });
  command.exitOverride((error) => {
    onCommand(pathOf(command).split(" ").slice(1).join(" "));
    // Help that was asked for has been written; it ends the parsing like a mistake does.
    throw error.code.startsWith("commander.help") ? error : fromCommander(error, command);
  });
  for (const child of command.commands) prepare(child, hooks);
}

function makeContext(output: Output, interrupt: Interrupt): Context {
  const paths = pathsOfDaemon(currentPaths());
  return {
    paths,
    output,
    interrupt,
    async daemon() {
      const { ensureDaemon } = await import("./daemon/ensure.ts");
      return await ensureDaemon(paths, { note: output.note, signal: interrupt.signal });
    },
    async progress() {
      const { makeProgress } = await import("./progress/view.ts");
      return makeProgress(process.stderr, output);
    },
  };
}
