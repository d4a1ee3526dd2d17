import { BangerError } from "#base/error.ts";
import { canAsk, confirm } from "#cli/confirm.ts";
import type { Handler } from "#cli/context.ts";
import type { volumeCommands } from "#cli/spec/volume.ts";

export const run: Handler<typeof volumeCommands.commands.prune> = async (
  { flags },
  context,
): Promise<number> => {
  const { output, interrupt } = context;
  const client = await context.daemon();
  const { signal } = interrupt;
  if (!flags.force) {
    const volumes = await client.volume.list(undefined, { signal });
    const unused = volumes.filter(({ machines }) => machines.length === 0).map(({ name }) => name);
    if (unused.length > 0 && canAsk()) {
      if (!(await confirm(`Remove ${unused.join(", ")} and their data?`, signal))) return 1;
    } else if (unused.length > 0) {
      throw new BangerError(
        "invalid_argument",
        `Cannot remove ${unused.join(", ")} without confirmation: stdin is not a terminal`,
        { hint: "Remove them and their data with: banger volume prune --force" },
      );
    }
  }
  for (const name of await client.volume.prune(undefined, { signal })) {
    await output.item({ removed: name }, name);
  }
  return 0;
};
