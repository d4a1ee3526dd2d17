import type { Handler } from "#cli/context.ts";
import { forEach } from "#cli/handlers/each.ts";
import type { networkCommands } from "#cli/spec/vm-network.ts";

export const run: Handler<typeof networkCommands.commands.rm> = async ({ args }, context) => {
  const client = await context.daemon();
  await forEach(args.networks, async (name) => {
    await client.network.remove({ name }, { signal: context.interrupt.signal });
    await context.output.item({ removed: name }, name);
  });
};
