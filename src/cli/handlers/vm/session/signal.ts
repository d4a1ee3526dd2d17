import type { Handler } from "#cli/context.ts";
import type { sessionCommands } from "#cli/spec/vm-session.ts";

type Spec = typeof sessionCommands.commands.signal;

export const run: Handler<Spec> = async ({ args }, { daemon, interrupt }) => {
  const client = await daemon();
  const signal = args.signal.toUpperCase().replace(/^SIG/, "");
  await client.session.signal({ ...args, signal }, { signal: interrupt.signal });
};
