/** Attaches this terminal to a session until the session ends or the user detaches. */
import { KiB } from "#base/size.ts";
import { writeErr, writeOut } from "#base/stdio.ts";
import { keySequence } from "#cli/args/keys.ts";
import type { Context } from "#cli/context.ts";
import { exitStatusOf } from "#cli/interrupt.ts";
import { type ExecConnection, openExec } from "#sdk/exec.ts";
import { makeDetachFilter } from "./detach.ts";
import { makeRaw, onResize, terminalSize } from "./terminal.ts";

const DETACH_KEYS = "ctrl-p,ctrl-q";
const TAIL_BYTES = 4 * KiB;

export interface AttachOptions {
  vm: string;
  session: string;
  tail_bytes?: number | undefined;
  tail_lines?: number | undefined;
  detachKeys?: string | undefined;
  /** Only to look on. */
  noStdin?: boolean | undefined;
}

/** Gives the exit status of the session's command; 0 when it was left. */
export async function attachSession(context: Context, options: AttachOptions): Promise<number> {
  const { vm, session, tail_lines, tail_bytes = TAIL_BYTES } = options;
  const keys = keySequence(options.detachKeys ?? DETACH_KEYS);
  const client = await context.daemon();
  const { terminal } = await client.session.show({ vm, session });
  const isTerminal = terminal && process.stdin.isTTY && !options.noStdin;
  const connection = openExec(
    context.paths.socket,
    {
      kind: "session",
      vm,
      session,
      follow: true,
      ...(tail_lines === undefined ? { tail_bytes } : { tail_lines }),
      stdin: !options.noStdin,
    },
    { onStdout: writeOut, onStderr: writeErr, signal: context.interrupt.signal },
  );
  try {
    await connection.started;
    using _raw = isTerminal ? makeRaw() : undefined;
    using _resize = isTerminal ? onResize(connection.resize) : undefined;
    if (isTerminal) connection.resize(terminalSize());
    const left = options.noStdin ? never : pumpUntilDetached(connection, keys);
    const exit = await Promise.race([connection.exited, left]);
    if (!exit) {
      context.output.note(`\r\nDetached from session "${session}", which keeps running`);
      return 0;
    }
    return "code" in exit ? exit.code : exitStatusOf(exit.signal);
  } finally {
    connection.close();
  }
}

const never = new Promise<undefined>(() => {});

/** Resolves when the keys were pressed; the end of the input is no reason to leave. */
async function pumpUntilDetached(connection: ExecConnection, keys: Uint8Array): Promise<undefined> {
  const filter = makeDetachFilter(process.stdin.isTTY ? keys : new Uint8Array(0));
  try {
    for await (const chunk of process.stdin.iterator({ destroyOnReturn: false })) {
      const { bytes, detached } = filter.push(chunk as Uint8Array);
      if (bytes.length > 0 && !(await connection.writeStdin(bytes))) return await never;
      if (detached) return undefined;
    }
  } catch {
    // A terminal that is gone ends the input like its end does.
  }
  return await never;
}
