import type { Handler } from "#cli/context.ts";
import { snapshotText } from "#cli/print/snapshots.ts";
import type { snapshotCommands } from "#cli/spec/vm-snapshot.ts";

export const run: Handler<typeof snapshotCommands.commands.show> = async ({ args }, context) => {
  const client = await context.daemon();
  const { signal } = context.interrupt;
  const snapshot = await client.snapshot.show({ name: args.snapshot }, { signal });
  await context.output.document(snapshot, () => snapshotText(snapshot));
};
