import { asGuestPath } from "#cli/args/guest-path.ts";
import type { Handler } from "#cli/context.ts";
import { forEach } from "#cli/handlers/each.ts";
import type { vmCommands } from "#cli/spec/vm.ts";

export const run: Handler<typeof vmCommands.commands.rm> = async ({ args, flags }, context) => {
  const client = await context.daemon();
  const { signal } = context.interrupt;
  await forEach(args.vms, async (name) => {
    const file = asGuestPath(name);
    if (file) await client.file.remove({ ...file, ...flags }, { signal });
    else await client.vm.remove({ name, ...(flags.force ? { force: true } : {}) }, { signal });
    await context.output.item({ removed: name }, name);
  });
};
