import type { Handler } from "#cli/context.ts";
import { vmTable } from "#cli/print/nouns.ts";
import type { vmCommands } from "#cli/spec/vm.ts";

export const run: Handler<typeof vmCommands.commands.list> = async ({ flags }, context) => {
  const { output, interrupt } = context;
  const client = await context.daemon();
  const all = await client.vm.list(undefined, { signal: interrupt.signal });
  const vms = flags.running ? all.filter(({ state }) => state === "running") : all;
  await output.document(vms, () =>
    output.quiet ? vms.map(({ name }) => name).join("\n") : vmTable(vms),
  );
};
