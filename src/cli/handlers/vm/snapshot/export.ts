import { archivePath } from "#cli/args/archive.ts";
import type { Handler } from "#cli/context.ts";
import { follow } from "#cli/progress/follow.ts";
import type { snapshotCommands } from "#cli/spec/vm-snapshot.ts";

export const run: Handler<typeof snapshotCommands.commands.export> = async (
  { args, flags },
  context,
) => {
  const request = { name: args.snapshot, path: archivePath(args.file), force: flags.force };
  const client = await context.daemon();
  const { signal } = context.interrupt;
  const exported = await follow(context, () => client.snapshot.export(request, { signal }));
  await context.output.document(exported, () => exported.path);
};
