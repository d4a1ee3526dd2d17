import type { Handler } from "#cli/context.ts";
import { forEach } from "#cli/handlers/each.ts";
import type { vmCommands } from "#cli/spec/vm.ts";
import { finish } from "#sdk/stream.ts";

export const run: Handler<typeof vmCommands.commands.suspend> = async ({ args }, context) => {
  const client = await context.daemon();
  const { signal } = context.interrupt;
  using progress = await context.progress();
  await forEach(args.vms, async (name) => {
    const lane = args.vms.length > 1 ? name : "";
    const vm = await finish(client.vm.suspend({ name }, { signal }), (each) =>
      progress.report(each, lane),
    );
    progress.finish(lane);
    await context.output.item(vm, vm.name);
  });
};
