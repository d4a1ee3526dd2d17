import type { Handler } from "#cli/context.ts";
import type { profileCommands } from "#cli/spec/vm-network.ts";

export const run: Handler<typeof profileCommands.commands.forget> = async ({ args }, context) => {
  const client = await context.daemon();
  const { signal } = context.interrupt;
  for (const rule of args.rules) await client.policy.forget({ rule }, { signal });
};
