import type { Handler } from "#cli/context.ts";
import { snapshotTable } from "#cli/print/snapshots.ts";
import type { snapshotCommands } from "#cli/spec/vm-snapshot.ts";

export const run: Handler<typeof snapshotCommands.commands.list> = async (_, context) => {
  const { output, interrupt } = context;
  const client = await context.daemon();
  const snapshots = await client.snapshot.list(undefined, { signal: interrupt.signal });
  await output.document(snapshots, () =>
    output.quiet ? snapshots.map(({ name }) => name).join("\n") : snapshotTable(snapshots),
  );
};
