import { guestPathArg } from "#cli/args/guest-path.ts";
import type { Handler } from "#cli/context.ts";
import { download } from "#cli/exec/transfer.ts";
import type { vmCommands } from "#cli/spec/vm.ts";

export const run: Handler<typeof vmCommands.commands.cat> = async ({ args, flags }, context) => {
  const user = flags.user === undefined ? {} : { user: flags.user };
  for (const { name: vm, path } of args.paths.map(guestPathArg)) {
    await download(context, { kind: "read", vm, path, ...user });
  }
};
