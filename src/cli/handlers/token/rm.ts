import type { Handler } from "#cli/context.ts";
import { forEach } from "#cli/handlers/each.ts";
import type { tokenCommands } from "#cli/spec/serve.ts";

export const run: Handler<typeof tokenCommands.commands.rm> = async ({ args }, context) => {
  const client = await context.daemon();
  await forEach(args.tokens, async (name) => {
    await client.token.remove({ name }, { signal: context.interrupt.signal });
    await context.output.item({ removed: name }, name);
  });
};
