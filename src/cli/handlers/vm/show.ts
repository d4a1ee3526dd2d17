import type { Handler } from "#cli/context.ts";
import { vmText } from "#cli/print/nouns.ts";
import type { vmCommands } from "#cli/spec/vm.ts";

export const run: Handler<typeof vmCommands.commands.show> = async ({ args }, context) => {
  const client = await context.daemon();
  const vm = await client.vm.show({ name: args.vm }, { signal: context.interrupt.signal });
  await context.output.document(vm, () => vmText(vm));
};
