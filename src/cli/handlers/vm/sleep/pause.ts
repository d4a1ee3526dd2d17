import type { Handler } from "#cli/context.ts";
import { forEach } from "#cli/handlers/each.ts";
import type { vmCommands } from "#cli/spec/vm.ts";

export const run: Handler<typeof vmCommands.commands.pause> = async ({ args }, context) => {
  const client = await context.daemon();
  await forEach(args.vms, async (name) => {
    const vm = await client.vm.pause({ name }, { signal: context.interrupt.signal });
    await context.output.item(vm, vm.name);
  });
};
