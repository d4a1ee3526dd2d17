import type { Handler } from "#cli/context.ts";
import { volumeText } from "#cli/print/volumes.ts";
import type { volumeCommands } from "#cli/spec/volume.ts";

export const run: Handler<typeof volumeCommands.commands.show> = async ({ args }, context) => {
  const client = await context.daemon();
  const { signal } = context.interrupt;
  const volume = await client.volume.show({ name: args.volume }, { signal });
  await context.output.document(volume, () => volumeText(volume));
};
