import { guestPathArg } from "#cli/args/guest-path.ts";
import type { Handler } from "#cli/context.ts";
import { fileText } from "#cli/print/files.ts";
import type { vmCommands } from "#cli/spec/vm.ts";

export const run: Handler<typeof vmCommands.commands.stat> = async ({ args, flags }, context) => {
  const path = guestPathArg(args.path);
  const client = await context.daemon();
  const user = flags.user === undefined ? {} : { user: flags.user };
  const { signal } = context.interrupt;
  const info = await client.file.stat({ ...path, ...user }, { signal });
  await context.output.document(info, () => fileText(path.path, info));
};
