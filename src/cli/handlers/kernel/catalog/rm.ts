import type { Handler } from "#cli/context.ts";
import { forEach } from "#cli/handlers/each.ts";
import type { kernelCommands } from "#cli/spec/kernel.ts";

type Command = typeof kernelCommands.commands.catalog.commands.rm;

export const run: Handler<Command> = async ({ args }, { daemon, output, interrupt }) => {
  const client = await daemon();
  await forEach(args.catalogs, async (name) => {
    await client.kernel.catalog.remove({ name }, { signal: interrupt.signal });
    await output.item({ removed: name }, name);
  });
};
