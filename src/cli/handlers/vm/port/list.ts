import type { Handler } from "#cli/context.ts";
import { portTable, portText } from "#cli/print/network.ts";
import type { portCommands } from "#cli/spec/vm-network.ts";

export const run: Handler<typeof portCommands.commands.list> = async ({ args }, context) => {
  const { output, interrupt } = context;
  const client = await context.daemon();
  const { network } = await client.vm.show({ name: args.vm }, { signal: interrupt.signal });
  const ports = network.ports ?? [];
  await output.document(ports, () =>
    output.quiet ? ports.map(portText).join("\n") : portTable(ports),
  );
};
