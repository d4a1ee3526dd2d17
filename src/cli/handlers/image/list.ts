import type { Handler } from "#cli/context.ts";
import { imageCatalogTable } from "#cli/print/images.ts";
import { imageTable } from "#cli/print/nouns.ts";
import type { imageCommands } from "#cli/spec/image.ts";

export const run: Handler<typeof imageCommands.commands.list> = async ({ flags }, context) => {
  const { output, interrupt } = context;
  const client = await context.daemon();
  const options = { signal: interrupt.signal };
  const names = (list: readonly { name: string }[]) => list.map(({ name }) => name).join("\n");
  if (flags.available) {
    const entries = await client.image.available(undefined, options);
    await output.document(entries, () =>
      output.quiet ? names(entries) : imageCatalogTable(entries),
    );
    return;
  }
  const images = await client.image.list(undefined, options);
  await output.document(images, () => (output.quiet ? names(images) : imageTable(images)));
};
