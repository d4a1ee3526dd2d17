import { optionalNameOf } from "#cli/args/name.ts";
import type { Handler } from "#cli/context.ts";
import { pauseText } from "#cli/print/snapshots.ts";
import { follow } from "#cli/progress/follow.ts";
import type { snapshotCommands } from "#cli/spec/vm-snapshot.ts";
import { saveCheckpoint } from "#cli/workspace/checkpoint.ts";
import { findWorkspace } from "#cli/workspace/find.ts";

export const run: Handler<typeof snapshotCommands.commands.create> = async (
  { args, flags },
  context,
) => {
  const snapshot = optionalNameOf(args.name, flags.name);
  const { diskOnly } = flags;
  const client = await context.daemon();
  const { signal } = context.interrupt;
  if (flags.workspace) {
    const message = snapshot === undefined ? "Before a snapshot" : `Before snapshot ${snapshot}`;
    await saveCheckpoint(context, await findWorkspace(context, args.vm, {}), { message });
  }
  const made = await follow(context, () =>
    client.snapshot.create({ name: args.vm, snapshot, diskOnly }, { signal }),
  );
  await context.output.document(made, () => made.snapshot.name);
  if (made.pause_ms !== undefined) context.output.note(pauseText(args.vm, made.pause_ms));
};
