import type { Handler } from "#cli/context.ts";
import type { kernelCommands } from "#cli/spec/kernel.ts";

type Command = typeof kernelCommands.commands.catalog.commands.schema;

export const run: Handler<Command> = async (_, { daemon, output, interrupt }) => {
  const client = await daemon();
  const schema = await client.kernel.catalog.schema(undefined, { signal: interrupt.signal });
  await output.document(schema, () => JSON.stringify(schema, undefined, 2));
};
