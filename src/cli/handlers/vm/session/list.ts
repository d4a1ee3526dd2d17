import type { Handler } from "#cli/context.ts";
import { sessionTable } from "#cli/print/sessions.ts";
import type { sessionCommands } from "#cli/spec/vm-session.ts";

type Spec = typeof sessionCommands.commands.list;

export const run: Handler<Spec> = async ({ args }, { daemon, output, interrupt }) => {
  const client = await daemon();
  const vm = args.vm === undefined ? {} : { vm: args.vm };
  const sessions = await client.session.list(vm, { signal: interrupt.signal });
  await output.document(sessions, () =>
    output.quiet ? sessions.map(({ name }) => name).join("\n") : sessionTable(sessions),
  );
};
