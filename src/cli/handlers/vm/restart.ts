import type { Handler } from "#cli/context.ts";
import { forEach } from "#cli/handlers/each.ts";
import type { vmCommands } from "#cli/spec/vm.ts";
import { finish } from "#sdk/stream.ts";

export const run: Handler<typeof vmCommands.commands.restart> = async (
  { args, flags },
  context,
) => {
  const client = await context.daemon();
  const { signal } = context.interrupt;
  const grace = flags.grace === undefined ? {} : { grace_ms: flags.grace };
  using progress = await context.progress();
  await forEach(args.vms, async (name) => {
    const lane = args.vms.length > 1 ? name : "";
    const vm = await finish(client.vm.restart({ name, ...grace }, { signal }), (each) =>
      progress.report(each, lane),
    );
    progress.finish(lane);
    await context.output.item(vm, vm.name);
    if (vm.warning) context.output.warn(vm.warning);
  });
};
