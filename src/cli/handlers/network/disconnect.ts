import type { Handler } from "#cli/context.ts";
import { forEach } from "#cli/handlers/each.ts";
import type { networkCommands } from "#cli/spec/vm-network.ts";

export const run: Handler<typeof networkCommands.commands.disconnect> = async (
  { args },
  context,
) => {
  const client = await context.daemon();
  const { signal } = context.interrupt;
  await forEach(args.vms, async (name) => {
    const vm = await client.network.disconnect({ name: args.network, vm: name }, { signal });
    await context.output.item(vm, vm.name);
  });
};
