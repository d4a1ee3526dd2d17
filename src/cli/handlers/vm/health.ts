import type { Handler } from "#cli/context.ts";
import { healthText } from "#cli/print/health.ts";
import type { vmCommands } from "#cli/spec/vm.ts";

export const run: Handler<typeof vmCommands.commands.health> = async ({ args }, context) => {
  const client = await context.daemon();
  const health = await client.vm.health({ name: args.vm }, { signal: context.interrupt.signal });
  await context.output.document(health, () => healthText(health));
};
