import type { Handler } from "#cli/context.ts";
import { networkTable } from "#cli/print/network.ts";
import type { networkCommands } from "#cli/spec/vm-network.ts";

export const run: Handler<typeof networkCommands.commands.list> = async (_input, context) => {
  const { output, interrupt } = context;
  const client = await context.daemon();
  const networks = await client.network.list(undefined, { signal: interrupt.signal });
  await output.document(networks, () =>
    output.quiet ? networks.map(({ name }) => name).join("\n") : networkTable(networks),
  );
};
