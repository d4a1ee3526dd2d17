import type { Handler } from "#cli/context.ts";
import { usageText } from "#cli/print/images.ts";
import type { imageCommands } from "#cli/spec/image.ts";

export const run: Handler<typeof imageCommands.commands.du> = async (_, context) => {
  const client = await context.daemon();
  const usage = await client.image.usage(undefined, { signal: context.interrupt.signal });
  await context.output.document(usage, () => usageText(usage));
};
