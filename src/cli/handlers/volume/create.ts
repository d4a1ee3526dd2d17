import { nameOf } from "#cli/args/name.ts";
import type { Handler } from "#cli/context.ts";
import type { volumeCommands } from "#cli/spec/volume.ts";

export const run: Handler<typeof volumeCommands.commands.create> = async (
  { args, flags },
  context,
) => {
  const name = nameOf(args.name, flags.name, "banger volume create NAME");
  const client = await context.daemon();
  const { signal } = context.interrupt;
  const volume = await client.volume.create({ name, size_bytes: flags.size }, { signal });
  await context.output.document(volume, () => volume.name);
};
