import { writeErr, writeOut } from "#base/stdio.ts";
import type { Handler } from "#cli/context.ts";
import { openStream } from "#cli/exec/open.ts";
import type { sessionCommands } from "#cli/spec/vm-session.ts";

type Spec = typeof sessionCommands.commands.logs;

export const run: Handler<Spec> = async ({ args, flags }, context) => {
  const { follow, tail, bytes } = flags;
  const part = {
    tail_lines: tail,
    tail_bytes: bytes,
  };
  const connection = openStream(
    context,
    { kind: "session", ...args, follow, ...part },
    { onStdout: writeOut, onStderr: writeErr },
  );
  await connection.exited;
};
