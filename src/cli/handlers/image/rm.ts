import type { Handler } from "#cli/context.ts";
import { forEach } from "#cli/handlers/each.ts";
import type { imageCommands } from "#cli/spec/image.ts";

export const run: Handler<typeof imageCommands.commands.rm> = async ({ args }, context) => {
  const client = await context.daemon();
  await forEach(args.images, async (name) => {
    await client.image.remove({ name }, { signal: context.interrupt.signal });
    await context.output.item({ removed: name }, name);
  });
};
