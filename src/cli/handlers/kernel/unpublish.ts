import { archOf } from "#cli/args/arch.ts";
import { publishTarget } from "#cli/args/publish.ts";
import type { Handler } from "#cli/context.ts";
import { follow } from "#cli/progress/follow.ts";
import type { kernelCommands } from "#cli/spec/kernel.ts";

export const run: Handler<typeof kernelCommands.commands.unpublish> = async (
  { args, flags },
  context,
) => {
  const arch = archOf(flags.arch);
  const { url: _, ...target } = await publishTarget(flags);
  const request = { name: args.kernel, ...target, arch };
  const client = await context.daemon();
  const removed = await follow(context, () =>
    client.kernel.unpublish(request, { signal: context.interrupt.signal }),
  );
  await context.output.document(removed, () => removed.url);
  if (target.key === undefined) {
    context.output.note("The catalog has changed; sign it with: banger kernel catalog sign");
  }
};
