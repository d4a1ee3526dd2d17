import type { Handler } from "#cli/context.ts";
import { volumeTable } from "#cli/print/volumes.ts";
import type { volumeCommands } from "#cli/spec/volume.ts";

export const run: Handler<typeof volumeCommands.commands.list> = async (_input, context) => {
  const { output, interrupt } = context;
  const client = await context.daemon();
  const volumes = await client.volume.list(undefined, { signal: interrupt.signal });
  await output.document(volumes, () =>
    output.quiet ? volumes.map(({ name }) => name).join("\n") : volumeTable(volumes),
  );
};
