import type { Handler } from "#cli/context.ts";
import { profileTable } from "#cli/print/network.ts";
import type { profileCommands } from "#cli/spec/vm-network.ts";

export const run: Handler<typeof profileCommands.commands.list> = async (_input, context) => {
  const { output, interrupt } = context;
  const client = await context.daemon();
  const profiles = await client.policy.profiles(undefined, { signal: interrupt.signal });
  await output.document(profiles, () =>
    output.quiet ? profiles.map(({ name }) => name).join("\n") : profileTable(profiles),
  );
};
