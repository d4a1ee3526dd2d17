import type { Handler } from "#cli/context.ts";
import type { vmCommands } from "#cli/spec/vm.ts";

export const run: Handler<typeof vmCommands.commands.rename> = async ({ args }, context) => {
  const client = await context.daemon();
  const { signal } = context.interrupt;
  const vm = await client.vm.rename({ name: args.vm, to: args.name }, { signal });
  await context.output.document(vm, () => vm.name);
  if (vm.pending?.includes("name")) {
    context.output.note(`The hostname changes at the next start: banger vm restart ${vm.name}`);
  }
};
