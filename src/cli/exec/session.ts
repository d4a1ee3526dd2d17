/** Connects a command in a machine to this process: streams, terminal, signals, exit status. */
import type { ExecOpen, ExecRequest } from "#api/exec.ts";
import { BangerError } from "#base/error.ts";
import type { OnProgress } from "#base/progress.ts";
import { settled, writeErr, writeOut } from "#base/stdio.ts";
import type { Context } from "#cli/context.ts";
import { exitStatusOf, type ForwardedSignal } from "#cli/interrupt.ts";
import { variable } from "#config/environment.ts";
import type { ExecConnection } from "#sdk/exec.ts";
import { AlternateScreen } from "./alternate-screen.ts";
import { openStream } from "./open.ts";
import { Prompt } from "./prompt.ts";
import { makeRaw, onResize, terminalSize } from "./terminal.ts";
import { pumpStdin } from "./transfer.ts";

/** A command that does not end at this many ^C is left alone; the daemon then ends it. */
const PATIENCE = 3;
/** One that has a terminal and no input is left this long after the first ^C. */
const UNTYPED_PATIENCE_MS = 500;

export interface CommandFlags {
  interactive: boolean;
  tty: boolean;
  workdir: string | undefined;
  user: string | undefined;
}

/** What the flags say of the command, whatever machine it runs in. */
export function execRequest(
  argv: string[],
  flags: CommandFlags,
  env: Record<string, string> | undefined,
): ExecRequest {
  if (flags.tty && flags.interactive && !process.stdin.isTTY) {
    throw new BangerError("invalid_argument", "Cannot use -t: stdin is not a terminal", {
      hint: "Omit -t, or run the command in a terminal",
    });
  }
  const term = { TERM: variable("TERM") ?? "xterm" };
  const environment = flags.tty ? { ...term, ...env } : env;
  return {
    argv,
    env: environment,
    cwd: flags.workdir,
    user: flags.user,
    terminal: flags.tty ? terminalSize() : undefined,
    stdin: flags.interactive,
  };
}

/** Runs until the command has ended, and gives the exit status that this process should have. */
export async function runSession(
  context: Context,
  open: Extract<ExecOpen, { kind: "exec" | "run" }>,
  /** Of a machine whose command waits for it. */
  onHeld?: (vm: string, onProgress: OnProgress | undefined) => Promise<void>,
): Promise<number> {
  // A machine that runs has nothing to report of before the command does.
  using progress = open.kind === "run" ? await context.progress() : undefined;
  // The last step is shown before the command's first output, which may go to another descriptor.
  let shown = Promise.resolve();
  const isAsking = open.kind === "run" && open.create.policy?.ask === true;
  const screen = isAsking ? new AlternateScreen() : undefined;
  let prompt: Prompt | undefined;
  const print = async (data: Uint8Array): Promise<void> => {
    screen?.see(data);
    await writeOut(data);
    prompt?.refresh();
  };
  const connection = openStream(context, open, {
    onStdout: progress ? (data) => shown.then(() => print(data)) : print,
    onStderr: progress ? (data) => shown.then(() => writeErr(data)) : writeErr,
    onProgress: progress?.report,
    onHeld: onHeld && ((vm) => onHeld(vm, progress?.report)),
    onStarted() {
      progress?.finish();
      progress?.[Symbol.dispose]();
      shown = settled();
    },
  });
  try {
    const vm = await connection.started;
    if (open.kind === "run" && open.keep) context.output.note(`machine: ${vm}`);
    return await attach(context, connection, {
      ...open.exec,
      askAbout: screen && { vm, screen },
      onPrompt: (made) => {
        prompt = made;
      },
    });
  } finally {
    connection.close();
  }
}

interface AttachOptions extends ExecRequest {
  /** A machine whose questions the terminal is there for. */
  askAbout: { vm: string; screen: AlternateScreen } | undefined;
  onPrompt: (prompt: Prompt) => void;
}

async function attach(
  context: Context,
  connection: ExecConnection,
  { terminal, stdin, askAbout, onPrompt }: AttachOptions,
): Promise<number> {
  const { interrupt, output } = context;
  let asked = 0;
  const gaveUp = Promise.withResolvers<never>();
  gaveUp.promise.catch(() => {});
  const giveUp = (): void => gaveUp.reject(new BangerError("cancelled", "cancelled"));
  using _signals = interrupt.takeOver((signal: ForwardedSignal) => {
    connection.signal(signal.slice("SIG".length));
    if (signal !== "SIGINT") return;
    // Without stdin the user cannot type "exit", so ^C has to get out.
    if (terminal && !stdin) setTimeout(giveUp, UNTYPED_PATIENCE_MS).unref();
    if (++asked < PATIENCE) return;
    output.note("The command did not exit; leaving it to the daemon");
    giveUp();
  });
  using _raw = terminal && stdin ? makeRaw() : undefined;
  using _resize = terminal ? onResize(connection.resize) : undefined;
  // It may have changed while the machine came up.
  if (terminal) connection.resize(terminalSize());
  const done = new AbortController();
  const prompt =
    terminal && stdin && askAbout
      ? new Prompt(await context.daemon(), { signal: done.signal, ...askAbout })
      : undefined;
  if (prompt) onPrompt(prompt);
  void prompt?.watch();
  if (stdin) void pumpStdin(connection, prompt && ((chunk) => prompt.take(chunk)));
  const exit = await Promise.race([connection.exited, gaveUp.promise]).finally(() => done.abort());
  return "code" in exit ? exit.code : exitStatusOf(exit.signal);
}
