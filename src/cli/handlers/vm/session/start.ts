import { BangerError } from "#base/error.ts";
import { readEnvironment } from "#cli/args/env.ts";
import type { Handler } from "#cli/context.ts";
import { attachSession } from "#cli/exec/attach.ts";
import { execRequest } from "#cli/exec/session.ts";
import type { sessionCommands } from "#cli/spec/vm-session.ts";

type Spec = typeof sessionCommands.commands.start;

export const run: Handler<Spec> = async ({ args, flags }, context) => {
  const { vm, session, command } = args;
  if (command.length === 0) {
    throw new BangerError("invalid_argument", "missing argument: COMMAND", {
      hint: `Run: banger vm session start ${vm} ${session} -- COMMAND`,
    });
  }
  const { argv, ...exec } = execRequest(
    command,
    { ...flags, interactive: false },
    readEnvironment(flags),
  );
  const client = await context.daemon();
  const started = await client.session.start(
    {
      vm,
      session,
      argv,
      ...exec,
      ring_bytes: flags.ring,
    },
    { signal: context.interrupt.signal },
  );
  if (flags.attach) return await attachSession(context, { vm, session });
  await context.output.document(started, () => started.name);
  return 0;
};
