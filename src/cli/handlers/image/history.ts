import type { Handler } from "#cli/context.ts";
import { historyTable } from "#cli/print/images.ts";
import type { imageCommands } from "#cli/spec/image.ts";

export const run: Handler<typeof imageCommands.commands.history> = async ({ args }, context) => {
  const client = await context.daemon();
  const { signal } = context.interrupt;
  const steps = await client.image.history({ name: args.image }, { signal });
  await context.output.document(steps, () => historyTable(steps));
};
