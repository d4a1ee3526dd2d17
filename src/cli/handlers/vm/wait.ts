import type { Handler } from "#cli/context.ts";
import { forEach } from "#cli/handlers/each.ts";
import { exitText } from "#cli/print/nouns.ts";
import type { vmCommands } from "#cli/spec/vm.ts";

export const run: Handler<typeof vmCommands.commands.wait> = async ({ args }, context) => {
  const client = await context.daemon();
  await forEach(args.vms, async (name) => {
    const exit = await client.vm.wait({ name }, { signal: context.interrupt.signal });
    await context.output.item(
      exit,
      args.vms.length > 1 ? `${name} ${exitText(exit)}` : exitText(exit),
    );
    if (exit.detail) context.output.note(exit.detail);
  });
};
