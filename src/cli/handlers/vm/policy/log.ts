import type { Handler } from "#cli/context.ts";
import { decisionText, policyLogText } from "#cli/print/network.ts";
import type { policyCommands } from "#cli/spec/vm-network.ts";

export const run: Handler<typeof policyCommands.commands.log> = async (
  { args, flags },
  context,
) => {
  const client = await context.daemon();
  const { signal } = context.interrupt;
  if (flags.follow) {
    const decisions = await client.vm.policyEvents({ name: args.vm }, { signal });
    for await (const each of decisions) await context.output.item(each, decisionText(each));
    return;
  }
  const log = await client.vm.policyLog({ name: args.vm }, { signal });
  await context.output.document(log, () => policyLogText(log));
};
