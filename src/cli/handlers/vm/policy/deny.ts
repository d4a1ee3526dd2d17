import type { Handler } from "#cli/context.ts";
import { policyText } from "#cli/print/network.ts";
import type { policyCommands } from "#cli/spec/vm-network.ts";

export const run: Handler<typeof policyCommands.commands.deny> = async ({ args }, context) => {
  const client = await context.daemon();
  const vm = await client.vm.changePolicy(
    { name: args.vm, add: args.rules.map((rule) => `deny ${rule}`) },
    { signal: context.interrupt.signal },
  );
  await context.output.document(vm, () => policyText(vm.network.policy));
};
