import type { Handler } from "#cli/context.ts";
import { forEach } from "#cli/handlers/each.ts";
import type { sessionCommands } from "#cli/spec/vm-session.ts";

type Spec = typeof sessionCommands.commands.rm;

export const run: Handler<Spec> = async ({ args, flags }, { daemon, output, interrupt }) => {
  const client = await daemon();
  const { signal } = interrupt;
  await forEach(args.sessions, async (session) => {
    await client.session.remove({ vm: args.vm, session, force: flags.force }, { signal });
    await output.item({ removed: session }, session);
  });
};
