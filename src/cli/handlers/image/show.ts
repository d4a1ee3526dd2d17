import type { Handler } from "#cli/context.ts";
import { imageText } from "#cli/print/nouns.ts";
import type { imageCommands } from "#cli/spec/image.ts";

export const run: Handler<typeof imageCommands.commands.show> = async ({ args }, context) => {
  const client = await context.daemon();
  const image = await client.image.show({ name: args.image }, { signal: context.interrupt.signal });
  await context.output.document(image, () => imageText(image));
};
