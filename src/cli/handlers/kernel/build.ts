import { resolve } from "node:path";
import { archOf } from "#cli/args/arch.ts";
import type { Handler } from "#cli/context.ts";
import { follow } from "#cli/progress/follow.ts";
import type { kernelCommands } from "#cli/spec/kernel.ts";

export const run: Handler<typeof kernelCommands.commands.build> = async (
  { args, flags },
  context,
) => {
  const { name, jobs, force } = flags;
  const arch = archOf(flags.arch);
  const client = await context.daemon();
  const kernel = await follow(context, () =>
    client.kernel.build(
      {
        recipe: args.recipe.endsWith(".toml") ? resolve(args.recipe) : args.recipe,
        arch,
        name,
        jobs,
        force,
      },
      { signal: context.interrupt.signal },
    ),
  );
  await context.output.document(kernel, () => kernel.name);
};
