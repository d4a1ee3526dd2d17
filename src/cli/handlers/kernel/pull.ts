import type { Handler } from "#cli/context.ts";
import { follow } from "#cli/progress/follow.ts";
import type { kernelCommands } from "#cli/spec/kernel.ts";

export const run: Handler<typeof kernelCommands.commands.pull> = async (
  { args, flags },
  context,
) => {
  const client = await context.daemon();
  const kernel = await follow(context, () =>
    client.kernel.pull(
      {
        name: args.kernel,
        force: flags.force,
        noBuild: flags.noBuild,
      },
      { signal: context.interrupt.signal },
    ),
  );
  await context.output.document(kernel, () => kernel.name);
};
