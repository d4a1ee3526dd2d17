import type { Handler } from "#cli/context.ts";
import { inTurn } from "#cli/handlers/each.ts";
import { follow } from "#cli/progress/follow.ts";
import type { imageCommands } from "#cli/spec/image.ts";

export const run: Handler<typeof imageCommands.commands.promote> = async (
  { args, flags },
  context,
) => {
  const client = await context.daemon();
  const { signal } = context.interrupt;
  await inTurn(args.images, async (name) => {
    const image = await follow(context, () =>
      client.image.promote({ name, link: flags.link }, { signal }),
    );
    await context.output.item(image, image.name);
  });
};
