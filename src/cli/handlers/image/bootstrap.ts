import { kernelOf } from "#cli/args/create.ts";
import type { Handler } from "#cli/context.ts";
import { follow } from "#cli/progress/follow.ts";
import type { imageCommands } from "#cli/spec/image.ts";

export const run: Handler<typeof imageCommands.commands.bootstrap> = async (
  { args, flags },
  context,
) => {
  const { name, variant, include } = flags;
  const kernel = kernelOf(flags);
  const client = await context.daemon();
  const image = await follow(context, () =>
    client.image.bootstrap(
      {
        suite: args.suite,
        name,
        variant,
        // As with mmdebstrap's own --include, several may stand together.
        packages: include.length === 0 ? undefined : include.flatMap((each) => each.split(",")),
        kernel,
      },
      { signal: context.interrupt.signal },
    ),
  );
  await context.output.document(image, () => image.name);
};
