import type { Handler } from "#cli/context.ts";
import type { imageCommands } from "#cli/spec/image.ts";

export const run: Handler<typeof imageCommands.commands.tag> = async ({ args }, context) => {
  const client = await context.daemon();
  const { signal } = context.interrupt;
  const image = await client.image.tag({ name: args.image, to: args.name }, { signal });
  await context.output.document(image, () => image.name);
};
