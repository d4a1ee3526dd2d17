import { guestPathArg } from "#cli/args/guest-path.ts";
import type { Handler } from "#cli/context.ts";
import { forEach } from "#cli/handlers/each.ts";
import type { vmFileCommands } from "#cli/spec/vm-files.ts";

type Spec = typeof vmFileCommands.file.commands.rm;

export const run: Handler<Spec> = async ({ args, flags }, context) => {
  const client = await context.daemon();
  const { force, recursive, user } = flags;
  const options = { force, recursive, user };
  await forEach(args.paths, async (text) => {
    const path = guestPathArg(text);
    await client.file.remove({ ...path, ...options }, { signal: context.interrupt.signal });
    await context.output.item({ removed: path.path }, text);
  });
};
