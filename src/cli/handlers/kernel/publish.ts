import { publishTarget } from "#cli/args/publish.ts";
import type { Handler } from "#cli/context.ts";
import { follow } from "#cli/progress/follow.ts";
import type { kernelCommands } from "#cli/spec/kernel.ts";

export const run: Handler<typeof kernelCommands.commands.publish> = async (
  { args, flags },
  context,
) => {
  const { description } = flags;
  const client = await context.daemon();
  // What is missing is told before where it would go to.
  const { name } = await client.kernel.show({ name: args.kernel });
  const { url, ...target } = await publishTarget(flags);
  const request = {
    name,
    ...target,
    url: url(),
    description,
  };
  const published = await follow(context, () =>
    client.kernel.publish(request, { signal: context.interrupt.signal }),
  );
  await context.output.document(published, () => published.url);
  if (target.key === undefined) {
    context.output.note("The catalog has changed; sign it with: banger kernel catalog sign");
  }
};
