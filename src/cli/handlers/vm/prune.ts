import { BangerError } from "#base/error.ts";
import { canAsk, confirm } from "#cli/confirm.ts";
import type { Handler } from "#cli/context.ts";
import type { vmCommands } from "#cli/spec/vm.ts";

export const run: Handler<typeof vmCommands.commands.prune> = async (
  { flags },
  context,
): Promise<number> => {
  const { output, interrupt } = context;
  const client = await context.daemon();
  const { signal } = interrupt;
  if (!flags.force) {
    const vms = await client.vm.list(undefined, { signal });
    const stopped = vms.filter(({ state }) => state === "stopped").map(({ name }) => name);
    if (stopped.length > 0 && canAsk()) {
      const question = `Remove ${stopped.join(", ")} and their disks?`;
      if (!(await confirm(question, signal))) return 1;
    } else if (stopped.length > 0) {
      throw new BangerError(
        "invalid_argument",
        `Cannot remove ${stopped.join(", ")} without confirmation: stdin is not a terminal`,
        { hint: "Remove them and their disks with: banger vm prune --force" },
      );
    }
  }
  for (const name of await client.vm.prune(undefined, { signal })) {
    await output.item({ removed: name }, name);
  }
  return 0;
};
