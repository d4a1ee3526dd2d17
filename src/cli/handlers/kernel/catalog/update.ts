import type { Handler } from "#cli/context.ts";
import { forEach } from "#cli/handlers/each.ts";
import type { kernelCommands } from "#cli/spec/kernel.ts";

type Command = typeof kernelCommands.commands.catalog.commands.update;

export const run: Handler<Command> = async ({ args }, { daemon, output, interrupt }) => {
  const options = { signal: interrupt.signal };
  const client = await daemon();
  const all = await client.kernel.catalog.list(undefined, options);
  // The first is the program's own, which comes with the program.
  const names = args.catalog === undefined ? all.slice(1).map(({ name }) => name) : [args.catalog];
  await forEach(names, async (name) => {
    const catalog = await client.kernel.catalog.update({ name }, options);
    await output.item(
      catalog,
      `${name}: ${catalog.kernels} kernel${catalog.kernels === 1 ? "" : "s"}`,
    );
  });
};
