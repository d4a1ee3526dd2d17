import type { Handler } from "#cli/context.ts";
import { catalogTable } from "#cli/print/kernels.ts";
import { kernelTable } from "#cli/print/nouns.ts";
import type { kernelCommands } from "#cli/spec/kernel.ts";

export const run: Handler<typeof kernelCommands.commands.list> = async ({ flags }, context) => {
  const { output, interrupt } = context;
  const client = await context.daemon();
  const options = { signal: interrupt.signal };
  const names = (list: readonly { name: string }[]) => list.map(({ name }) => name).join("\n");
  if (flags.available) {
    const entries = await client.kernel.available(flags.all ? { all: true } : {}, options);
    await output.document(entries, () => (output.quiet ? names(entries) : catalogTable(entries)));
    for (const { name, problem } of await client.kernel.catalog.list(undefined, options)) {
      if (problem !== undefined) output.note(`Skipping catalog "${name}": ${problem}`);
    }
    return;
  }
  const kernels = await client.kernel.list(undefined, options);
  await output.document(kernels, () => (output.quiet ? names(kernels) : kernelTable(kernels)));
  if (kernels.length === 0)
    output.note("List available kernels with: banger kernel list --available");
};
