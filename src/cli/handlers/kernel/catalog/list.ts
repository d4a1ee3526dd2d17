import type { Handler } from "#cli/context.ts";
import { catalogsTable } from "#cli/print/kernels.ts";
import type { kernelCommands } from "#cli/spec/kernel.ts";

type Command = typeof kernelCommands.commands.catalog.commands.list;

export const run: Handler<Command> = async (_, { daemon, output, interrupt }) => {
  const client = await daemon();
  const catalogs = await client.kernel.catalog.list(undefined, { signal: interrupt.signal });
  await output.document(catalogs, () =>
    output.quiet ? catalogs.map(({ name }) => name).join("\n") : catalogsTable(catalogs),
  );
};
