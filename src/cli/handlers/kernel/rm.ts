import type { Handler } from "#cli/context.ts";
import { forEach } from "#cli/handlers/each.ts";
import type { kernelCommands } from "#cli/spec/kernel.ts";

export const run: Handler<typeof kernelCommands.commands.rm> = async ({ args, flags }, context) => {
  const client = await context.daemon();
  const { signal } = context.interrupt;
  await forEach(args.kernels, async (name) => {
    await client.kernel.remove({ name, force: flags.force }, { signal });
    await context.output.item({ removed: name }, name);
  });
};
