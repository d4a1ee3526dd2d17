import { safeLine } from "#base/printable.ts";
import { guestPathArg } from "#cli/args/guest-path.ts";
import type { Handler } from "#cli/context.ts";
import type { vmCommands } from "#cli/spec/vm.ts";

export const run: Handler<typeof vmCommands.commands.watch> = async ({ args, flags }, context) => {
  const { output, interrupt } = context;
  const path = guestPathArg(args.path);
  const client = await context.daemon();
  const { recursive } = flags;
  const user = flags.user === undefined ? {} : { user: flags.user };
  const changes = await client.file.watch(
    { ...path, ...user, recursive },
    { signal: interrupt.signal },
  );
  for await (const change of changes) {
    if (change.kind === "ready" && !output.json) {
      output.note(`Watching ${safeLine(change.path)}`);
      continue;
    }
    const mark = change.isFolder && change.path !== "/" ? "/" : "";
    await output.item(change, `${change.kind} ${safeLine(change.path)}${mark}`);
  }
};
