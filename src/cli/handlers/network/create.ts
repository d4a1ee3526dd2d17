import { nameOf } from "#cli/args/name.ts";
import type { Handler } from "#cli/context.ts";
import type { networkCommands } from "#cli/spec/vm-network.ts";

export const run: Handler<typeof networkCommands.commands.create> = async (
  { args, flags },
  context,
) => {
  const name = nameOf(args.name, flags.name, "banger network create NAME");
  const client = await context.daemon();
  const { signal } = context.interrupt;
  const network = await client.network.create({ name }, { signal });
  await context.output.document(network, () => network.name);
};
