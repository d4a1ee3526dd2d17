import type { Handler } from "#cli/context.ts";
import { attachSession } from "#cli/exec/attach.ts";
import type { sessionCommands } from "#cli/spec/vm-session.ts";

type Spec = typeof sessionCommands.commands.attach;

export const run: Handler<Spec> = async ({ args, flags }, context) => {
  const { tail, bytes, ...rest } = flags;
  return await attachSession(context, { ...args, ...rest, tail_bytes: bytes, tail_lines: tail });
};
