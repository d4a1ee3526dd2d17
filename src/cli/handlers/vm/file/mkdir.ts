import { guestPathArg } from "#cli/args/guest-path.ts";
import type { Handler } from "#cli/context.ts";
import { forEach } from "#cli/handlers/each.ts";
import type { vmCommands } from "#cli/spec/vm.ts";

export const run: Handler<typeof vmCommands.commands.mkdir> = async ({ args, flags }, context) => {
  const client = await context.daemon();
  const { parents, mode, user } = flags;
  const options = {
    parents,
    mode,
    user,
  };
  await forEach(args.paths, async (text) => {
    const path = guestPathArg(text);
    await client.file.mkdir({ ...path, ...options }, { signal: context.interrupt.signal });
    await context.output.item({ made: path.path }, text);
  });
};
