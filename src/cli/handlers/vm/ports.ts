import type { Handler } from "#cli/context.ts";
import { table } from "#cli/print/table.ts";
import type { vmCommands } from "#cli/spec/vm.ts";

export const run: Handler<typeof vmCommands.commands.ports> = async ({ args }, context) => {
  const { output, interrupt } = context;
  const client = await context.daemon();
  const ports = await client.inside.ports({ name: args.vm }, { signal: interrupt.signal });
  await output.document(ports, () =>
    table(
      ["PROTOCOL", "ADDRESS", "PORT", "USER", "PROCESS"],
      ports.map(({ protocol, address, port, uid, process }) => [
        protocol,
        address,
        String(port),
        String(uid),
        process ? `${process.name} (${process.pid})` : "-",
      ]),
    ),
  );
};
