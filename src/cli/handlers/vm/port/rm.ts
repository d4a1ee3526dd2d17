import { parsePortEnd } from "#cli/args/ports.ts";
import type { Handler } from "#cli/context.ts";
import { portText } from "#cli/print/network.ts";
import type { portCommands } from "#cli/spec/vm-network.ts";

export const run: Handler<typeof portCommands.commands.rm> = async ({ args }, context) => {
  const ports = args.ports.map(parsePortEnd);
  const client = await context.daemon();
  const vm = await client.vm.unpublish(
    { name: args.vm, ports },
    { signal: context.interrupt.signal },
  );
  await context.output.document(vm, () => (vm.network.ports ?? []).map(portText).join("\n"));
};
