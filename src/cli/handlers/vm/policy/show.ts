import type { Handler } from "#cli/context.ts";
import { policyText } from "#cli/print/network.ts";
import type { policyCommands } from "#cli/spec/vm-network.ts";

export const run: Handler<typeof policyCommands.commands.show> = async ({ args }, context) => {
  const client = await context.daemon();
  const { signal } = context.interrupt;
  const { network } = await client.vm.show({ name: args.vm }, { signal });
  const { policy } = network;
  await context.output.document(policy ?? null, () =>
    policy && !policy.ask && policy.allow.length > 0 ? policy.allow.join("\n") : policyText(policy),
  );
};
