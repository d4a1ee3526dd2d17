import type { Handler } from "#cli/context.ts";
import { networkText } from "#cli/print/network.ts";
import type { networkCommands } from "#cli/spec/vm-network.ts";

export const run: Handler<typeof networkCommands.commands.show> = async ({ args }, context) => {
  const client = await context.daemon();
  const { signal } = context.interrupt;
  const network = await client.network.show({ name: args.network }, { signal });
  await context.output.document(network, () => networkText(network));
};
