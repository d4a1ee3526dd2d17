import type { Handler } from "#cli/context.ts";
import { forEach } from "#cli/handlers/each.ts";
import { noteDiscarded } from "#cli/print/discarded.ts";
import type { vmCommands } from "#cli/spec/vm.ts";

export const run: Handler<typeof vmCommands.commands.kill> = async ({ args }, context) => {
  const client = await context.daemon();
  await forEach(args.vms, async (name) => {
    const vm = await client.vm.kill({ name }, { signal: context.interrupt.signal });
    await context.output.item(vm, vm.name);
    noteDiscarded(vm, context.output.note);
  });
};
