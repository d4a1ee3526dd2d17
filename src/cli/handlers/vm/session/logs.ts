import type { Handler } from "#cli/context.ts";
import { writeErr, writeOut } from "#cli/print/stdio.ts";
import type { sessionCommands } from "#cli/spec/vm-session.ts";
import { openExec } from "#sdk/exec.ts";

type Spec = typeof sessionCommands.commands.logs;

export const run: Handler<Spec> = async ({ args, flags }, context) => {
  await context.daemon();
  const { follow, tail } = flags;
  const connection = openExec(
    context.paths.socket,
    {
      kind: "session",
      ...args,
      follow,
      ...(tail === undefined ? {} : { tail_bytes: tail }),
    },
    { onStdout: writeOut, onStderr: writeErr, signal: context.interrupt.signal },
  );
  await connection.exited;
};
