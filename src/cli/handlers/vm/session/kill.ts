import type { Handler } from "#cli/context.ts";
import { forEach } from "#cli/handlers/each.ts";
import type { sessionCommands } from "#cli/spec/vm-session.ts";

type Spec = typeof sessionCommands.commands.kill;

export const run: Handler<Spec> = async ({ args }, { daemon, output, interrupt }) => {
  const client = await daemon();
  const { signal } = interrupt;
  await forEach(args.sessions, async (session) => {
    await client.session.signal({ vm: args.vm, session, signal: "KILL" }, { signal });
    const ended = await client.session.wait({ vm: args.vm, session }, { signal });
    await output.item(ended, session);
  });
};
