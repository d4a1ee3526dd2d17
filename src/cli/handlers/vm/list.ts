import { safeLine } from "#base/printable.ts";
import { guestPathArg } from "#cli/args/guest-path.ts";
import { hasLabels } from "#cli/args/labels.ts";
import type { Context, Handler } from "#cli/context.ts";
import { fileTable } from "#cli/print/files.ts";
import { vmTable } from "#cli/print/nouns.ts";
import type { vmCommands } from "#cli/spec/vm.ts";

export const run: Handler<typeof vmCommands.commands.list> = async ({ args, flags }, context) => {
  if (args.path !== undefined) return await listFolder(args.path, context);
  const { output, interrupt } = context;
  const client = await context.daemon();
  const all = await client.vm.list(undefined, { signal: interrupt.signal });
  const vms = all.filter(
    ({ state, labels }) =>
      (!flags.running || state === "running") && hasLabels(labels, flags.label),
  );
  await output.document(vms, () =>
    output.quiet ? vms.map(({ name }) => name).join("\n") : vmTable(vms, terminalColumns()),
  );
};

/** A pipe takes lines of any width. */
function terminalColumns(): number | undefined {
  return process.stdout.isTTY ? process.stdout.columns || undefined : undefined;
}

async function listFolder(text: string, { output, interrupt, daemon }: Context): Promise<void> {
  const path = guestPathArg(text);
  const client = await daemon();
  const entries = await client.file.list(path, { signal: interrupt.signal });
  await output.document(entries, () =>
    output.quiet ? entries.map(({ name }) => safeLine(name)).join("\n") : fileTable(entries),
  );
}
