import { writeOut } from "#base/stdio.ts";
import type { Handler } from "#cli/context.ts";
import { makeConsoleFilter } from "#cli/print/console.ts";
import type { vmCommands } from "#cli/spec/vm.ts";

export const run: Handler<typeof vmCommands.commands.logs> = async ({ args, flags }, context) => {
  const { output, interrupt } = context;
  const client = await context.daemon();
  const filter = makeConsoleFilter({ color: output.hasColor("stdout") });
  const chunks = await client.vm.logs(
    {
      name: args.vm,
      ...(flags.follow ? { follow: true } : {}),
      ...(flags.tail === undefined ? {} : { tail: flags.tail }),
    },
    { signal: interrupt.signal },
  );
  for await (const chunk of chunks) {
    if (output.json) await output.item(chunk, "");
    else await writeOut(filter.push(chunk.text));
  }
  if (!output.json) await writeOut(filter.end());
};
