import { BangerError } from "#base/error.ts";
import type { Handler } from "#cli/context.ts";
import { policyText } from "#cli/print/network.ts";
import type { policyCommands } from "#cli/spec/vm-network.ts";

export const run: Handler<typeof policyCommands.commands.set> = async (
  { args, flags },
  context,
) => {
  const hasRules = args.rules.length > 0 || (flags.ask && !flags.denyAll && !flags.allowAll);
  const isGiven = [hasRules, flags.denyAll, flags.allowAll].filter(Boolean);
  if (isGiven.length !== 1) {
    throw new BangerError(
      "invalid_argument",
      "Cannot set the policy: exactly one of RULES, --deny-all and --allow-all is required",
    );
  }
  const client = await context.daemon();
  const vm = await client.vm.setPolicy(
    { name: args.vm, allow: flags.allowAll ? null : args.rules, ask: flags.ask },
    { signal: context.interrupt.signal },
  );
  await context.output.document(vm, () => policyText(vm.network.policy));
};
