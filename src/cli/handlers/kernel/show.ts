import type { Handler } from "#cli/context.ts";
import { kernelText } from "#cli/print/nouns.ts";
import type { kernelCommands } from "#cli/spec/kernel.ts";

export const run: Handler<typeof kernelCommands.commands.show> = async ({ args }, context) => {
  const client = await context.daemon();
  const kernel = await client.kernel.show(
    { name: args.kernel },
    { signal: context.interrupt.signal },
  );
  await context.output.document(kernel, () => kernelText(kernel));
};
