import { archivePath } from "#cli/args/archive.ts";
import { optionalNameOf } from "#cli/args/name.ts";
import type { Handler } from "#cli/context.ts";
import { follow } from "#cli/progress/follow.ts";
import type { snapshotCommands } from "#cli/spec/vm-snapshot.ts";

export const run: Handler<typeof snapshotCommands.commands.import> = async (
  { args, flags },
  context,
) => {
  const request = { path: archivePath(args.file), name: optionalNameOf(args.name, flags.name) };
  const client = await context.daemon();
  const { signal } = context.interrupt;
  const snapshot = await follow(context, () => client.snapshot.import(request, { signal }));
  await context.output.document(snapshot, () => snapshot.name);
};
