import { BangerError } from "#base/error.ts";
import type { Handler } from "#cli/context.ts";
import { exitStatusOf } from "#cli/interrupt.ts";
import { endText } from "#cli/print/sessions.ts";
import type { sessionCommands } from "#cli/spec/vm-session.ts";

type Spec = typeof sessionCommands.commands.wait;

export const run: Handler<Spec> = async ({ args, flags }, { daemon, output, interrupt }) => {
  const client = await daemon();
  const timeout = flags.timeout === undefined ? {} : { timeout_ms: flags.timeout };
  const ended = await client.session.wait({ ...args, ...timeout }, { signal: interrupt.signal });
  await output.document(ended, () => endText(ended));
  const { exit } = ended;
  if (exit) return "code" in exit ? exit.code : exitStatusOf(exit.signal);
  throw new BangerError("guest", `session "${args.session}" ended because its machine stopped`);
};
