import type { Handler } from "#cli/context.ts";
import { policyLogText } from "#cli/print/network.ts";
import type { policyCommands } from "#cli/spec/vm-network.ts";

export const run: Handler<typeof policyCommands.commands.log> = async ({ args }, context) => {
  const client = await context.daemon();
  const { signal } = context.interrupt;
  const log = await client.vm.policyLog({ name: args.vm }, { signal });
  await context.output.document(log, () => policyLogText(log));
};
