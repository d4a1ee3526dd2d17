import type { Handler } from "#cli/context.ts";
import { follow } from "#cli/progress/follow.ts";
import type { copyCommands } from "#cli/spec/vm-snapshot.ts";

export const run: Handler<typeof copyCommands.restore> = async ({ args }, context) => {
  const { vm: name, snapshot } = args;
  const client = await context.daemon();
  const { signal } = context.interrupt;
  const vm = await follow(context, () => client.vm.restore({ name, snapshot }, { signal }));
  await context.output.document(vm, () => vm.name);
  if (vm.warning) context.output.warn(vm.warning);
};
