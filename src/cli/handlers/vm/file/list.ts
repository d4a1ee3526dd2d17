import { safeLine } from "#base/printable.ts";
import { guestPathArg } from "#cli/args/guest-path.ts";
import type { Handler } from "#cli/context.ts";
import { fileTable } from "#cli/print/files.ts";
import type { vmFileCommands } from "#cli/spec/vm-files.ts";

type Spec = typeof vmFileCommands.file.commands.list;

export const run: Handler<Spec> = async ({ args, flags }, { output, interrupt, daemon }) => {
  const path = guestPathArg(args.path);
  const user = flags.user === undefined ? {} : { user: flags.user };
  const client = await daemon();
  const entries = await client.file.list({ ...path, ...user }, { signal: interrupt.signal });
  await output.document(entries, () =>
    output.quiet ? entries.map(({ name }) => safeLine(name)).join("\n") : fileTable(entries),
  );
};
