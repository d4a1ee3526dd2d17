import { kernelOf } from "#cli/args/create.ts";
import { absoluteReference } from "#cli/args/reference.ts";
import type { Handler } from "#cli/context.ts";
import { follow } from "#cli/progress/follow.ts";
import type { imageCommands } from "#cli/spec/image.ts";

export const run: Handler<typeof imageCommands.commands.pull> = async (
  { args, flags },
  context,
) => {
  const { name, platform, force } = flags;
  const kernel = kernelOf(flags);
  const client = await context.daemon();
  const image = await follow(context, () =>
    client.image.pull(
      {
        reference: absoluteReference(args.reference),
        name,
        kernel,
        platform,
        force,
      },
      { signal: context.interrupt.signal },
    ),
  );
  await context.output.document(image, () => image.name);
};
