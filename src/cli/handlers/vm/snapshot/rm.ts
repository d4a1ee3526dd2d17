import type { Handler } from "#cli/context.ts";
import { forEach } from "#cli/handlers/each.ts";
import type { snapshotCommands } from "#cli/spec/vm-snapshot.ts";

export const run: Handler<typeof snapshotCommands.commands.rm> = async ({ args }, context) => {
  const client = await context.daemon();
  const { signal } = context.interrupt;
  await forEach(args.snapshots, async (name) => {
    await client.snapshot.remove({ name }, { signal });
    await context.output.item({ removed: name }, name);
  });
};
