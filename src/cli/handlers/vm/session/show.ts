import type { Handler } from "#cli/context.ts";
import { sessionText } from "#cli/print/sessions.ts";
import type { sessionCommands } from "#cli/spec/vm-session.ts";

type Spec = typeof sessionCommands.commands.show;

export const run: Handler<Spec> = async ({ args }, { daemon, output, interrupt }) => {
  const client = await daemon();
  const session = await client.session.show(args, { signal: interrupt.signal });
  await output.document(session, () => sessionText(session));
};
