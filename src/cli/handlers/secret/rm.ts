import type { Handler } from "#cli/context.ts";
import { forEach } from "#cli/handlers/each.ts";
import type { secretCommands } from "#cli/spec/secret.ts";

export const run: Handler<typeof secretCommands.commands.rm> = async ({ args }, context) => {
  const client = await context.daemon();
  await forEach(args.secrets, async (name) => {
    await client.secret.remove({ name }, { signal: context.interrupt.signal });
    await context.output.item({ removed: name }, name);
  });
};
