import type { Handler } from "#cli/context.ts";
import { inTurn } from "#cli/handlers/each.ts";
import { follow } from "#cli/progress/follow.ts";
import type { imageCommands } from "#cli/spec/image.ts";

export const run: Handler<typeof imageCommands.commands.provision> = async (
  { args, flags },
  context,
) => {
  const { force } = flags;
  const client = await context.daemon();
  await inTurn(args.images, async (name) => {
    const image = await follow(context, () =>
      client.image.provision({ name, force }, { signal: context.interrupt.signal }),
    );
    await context.output.item(image, image.name);
  });
};
