import type { Handler } from "#cli/context.ts";
import { imageTable } from "#cli/print/nouns.ts";
import type { imageCommands } from "#cli/spec/image.ts";

export const run: Handler<typeof imageCommands.commands.list> = async (_, context) => {
  const { output, interrupt } = context;
  const client = await context.daemon();
  const images = await client.image.list(undefined, { signal: interrupt.signal });
  await output.document(images, () =>
    output.quiet ? images.map(({ name }) => name).join("\n") : imageTable(images),
  );
};
