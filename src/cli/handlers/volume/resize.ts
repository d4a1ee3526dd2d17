import { diskArg } from "#cli/args/numbers.ts";
import type { Handler } from "#cli/context.ts";
import type { volumeCommands } from "#cli/spec/volume.ts";

export const run: Handler<typeof volumeCommands.commands.resize> = async ({ args }, context) => {
  const size_bytes = diskArg(args.size);
  const client = await context.daemon();
  const { signal } = context.interrupt;
  const volume = await client.volume.resize({ name: args.volume, size_bytes }, { signal });
  await context.output.document(volume, () => volume.name);
};
