/** The command line's main function: parses it, runs one handler, and prints any error once. */
import { type ErrorCode, errorCodes, toBangerError } from "#base/error.ts";
import { settled, writeOut } from "#base/stdio.ts";
import type { Paths } from "#config/paths.ts";
import { currentPaths } from "#config/resolve.ts";
import { withFlagName } from "./args/flag-names.ts";
import type { Context } from "./context.ts";
import { pathsOfDaemon } from "./daemon/locate.ts";
import { loaderOf } from "./handlers.ts";
import { exitStatusOf, watchInterrupts } from "./interrupt.ts";
import { parseCommand } from "./parse.ts";
import { makeOutput } from "./print/output.ts";
import { commandStatus, reportError } from "./print/report.ts";
import { commandAt } from "./program.ts";
import type { Programs } from "./programs.ts";
import type { CommandSpec } from "./spec/types.ts";

/** `words` are those after the program's name. Gives the exit status, when all was written. */
export async function runCli(words: readonly string[], programs: Programs): Promise<number> {
  const status = await perform(words, programs);
  await settled();
  return status;
}

async function perform(words: readonly string[], programs: Programs): Promise<number> {
  const interrupt = watchInterrupts();
  // Until the flags are known, an error is printed as they would most likely have it.
  let output = makeOutput({
    json: words.includes("--json"),
    quiet: false,
    noColor: words.includes("--no-color"),
    progress: "auto",
  });
  let spec: CommandSpec | undefined;
  let given: Parameters<typeof withFlagName>[2];
  let isFollowing = false;
  let statusOf: ((code: ErrorCode) => number) | undefined;
  try {
    const { invocation, help } = parseCommand(words, (path) => {
      statusOf = statusOfPath(path);
    });
    await writeOut(help);
    if (invocation === undefined) return 0;
    output = makeOutput(invocation);
    spec = commandAt(invocation.path);
    given = invocation;
    isFollowing = invocation.flags["follow"] === true || invocation.flags["every"] !== undefined;
    const { run } = await loaderOf(invocation.path)();
    const status = await run(invocation, makeContext({ output, interrupt, programs }));
    return status ?? 0;
  } catch (error) {
    const isAwaited = spec?.isEndless === true || isFollowing;
    if (interrupt.received && isAwaited && toBangerError(error).code === "cancelled") {
      return exitStatusOf(interrupt.received);
    }
    const shown = spec ? withFlagName(error, spec, given) : error;
    const status = reportError(shown, { ...output, statusOf });
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

function makeContext({
  output,
  interrupt,
  programs,
}: Pick<Context, "output" | "interrupt" | "programs">): Context {
  // Of no concern to some commands, which then work without a home.
  let known: Paths | undefined;
  const paths = (): Paths => {
    known ??= pathsOfDaemon(currentPaths());
    return known;
  };
  return {
    get paths() {
      return paths();
    },
    output,
    interrupt,
    programs,
    async daemon() {
      const { ensureDaemon } = await import("./daemon/ensure.ts");
      return await ensureDaemon(paths(), { note: output.note, signal: interrupt.signal });
    },
    async progress() {
      const { makeProgress } = await import("./progress/view.ts");
      return makeProgress(process.stderr, {
        ...output,
        isCancelled: () => interrupt.signal.aborted,
      });
    },
  };
}
