import { optionalNameOf } from "#cli/args/name.ts";
import type { Handler } from "#cli/context.ts";
import { follow } from "#cli/progress/follow.ts";
import type { vmCommands } from "#cli/spec/vm.ts";

export const run: Handler<typeof vmCommands.commands.clone> = async ({ args, flags }, context) => {
  const to = optionalNameOf(args.name, flags.name);
  const client = await context.daemon();
  const vm = await follow(context, () =>
    client.vm.clone({ name: args.vm, to }, { signal: context.interrupt.signal }),
  );
  await context.output.document(vm, () => vm.name);
};
