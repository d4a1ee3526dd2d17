import { BangerError } from "#base/error.ts";
import type { Handler } from "#cli/context.ts";
import { portTable, portText } from "#cli/print/network.ts";
import type { portCommands } from "#cli/spec/vm-network.ts";

export const run: Handler<typeof portCommands.commands.list> = async ({ args }, context) => {
  const { output, interrupt } = context;
  const client = await context.daemon();
  const { network } = await client.vm.show({ name: args.vm }, { signal: interrupt.signal });
  const all = network.ports ?? [];
  const [number, protocol = "tcp"] = args.port?.split("/") ?? [];
  const ports = all.filter(
    (port) =>
      number === undefined || (`${port.guestPort}` === number && port.protocol === protocol),
  );
  if (args.port !== undefined && ports.length === 0) {
    throw new BangerError(
      "not_found",
      `port ${args.port} of machine "${args.vm}" is not published`,
      {
        hint: `List published ports with: banger vm port list ${args.vm}`,
      },
    );
  }
  await output.document(ports, () =>
    output.quiet ? ports.map(portText).join("\n") : portTable(ports),
  );
};
