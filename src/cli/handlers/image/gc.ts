import type { Handler } from "#cli/context.ts";
import { gcText } from "#cli/print/images.ts";
import type { imageCommands } from "#cli/spec/image.ts";

export const run: Handler<typeof imageCommands.commands.gc> = async ({ flags }, context) => {
  const client = await context.daemon();
  const { all, dryRun } = flags;
  const result = await client.image.gc({ all, dryRun }, { signal: context.interrupt.signal });
  await context.output.document(result, () => gcText(result, dryRun));
};
