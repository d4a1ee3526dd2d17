import type { Handler } from "#cli/context.ts";
import { forEach } from "#cli/handlers/each.ts";
import type { imageCommands } from "#cli/spec/image.ts";

export const run: Handler<typeof imageCommands.commands.rm> = async ({ args, flags }, context) => {
  const client = await context.daemon();
  await forEach(args.images, async (name) => {
    const remove = flags.provisioned ? client.image.unprovision : client.image.remove;
    await remove({ name }, { signal: context.interrupt.signal });
    await context.output.item({ removed: name }, name);
  });
};
