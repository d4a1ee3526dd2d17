import { BangerError } from "#base/error.ts";
import { asGuestPath } from "#cli/args/guest-path.ts";
import type { Handler } from "#cli/context.ts";
import { forEach } from "#cli/handlers/each.ts";
import type { vmCommands } from "#cli/spec/vm.ts";

export const run: Handler<typeof vmCommands.commands.rm> = async ({ args, flags }, context) => {
  const file = args.vms.find((name) => asGuestPath(name));
  if (file !== undefined) {
    throw new BangerError("invalid_argument", `Cannot remove "${file}": not a machine`, {
      hint: `To remove a file in a machine, run: banger vm file rm ${file}`,
    });
  }
  const client = await context.daemon();
  const { signal } = context.interrupt;
  await forEach(args.vms, async (name) => {
    await client.vm.remove({ name, force: flags.force }, { signal });
    await context.output.item({ removed: name }, name);
  });
};
