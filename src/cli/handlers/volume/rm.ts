import type { Handler } from "#cli/context.ts";
import { forEach } from "#cli/handlers/each.ts";
import type { volumeCommands } from "#cli/spec/volume.ts";

export const run: Handler<typeof volumeCommands.commands.rm> = async ({ args }, context) => {
  const client = await context.daemon();
  await forEach(args.volumes, async (name) => {
    await client.volume.remove({ name }, { signal: context.interrupt.signal });
    await context.output.item({ removed: name }, name);
  });
};
