import type { Handler } from "#cli/context.ts";
import { forEach } from "#cli/handlers/each.ts";
import { noteDiscarded } from "#cli/print/discarded.ts";
import type { vmCommands } from "#cli/spec/vm.ts";

export const run: Handler<typeof vmCommands.commands.stop> = async ({ args, flags }, context) => {
  const client = await context.daemon();
  const { signal } = context.interrupt;
  const grace = flags.grace === undefined ? {} : { grace_ms: flags.grace };
  using progress = await context.progress();
  await forEach(args.vms, async (name) => {
    const lane = args.vms.length > 1 ? name : "";
    progress.report({ step: "stop", message: `Stopping ${name}` }, lane);
    const vm = await client.vm.stop({ name, ...grace }, { signal });
    progress.finish(lane);
    await context.output.item(vm, vm.name);
    noteDiscarded(vm, context.output.note);
  });
};
