import type { Handler } from "#cli/context.ts";
import type { kernelCommands } from "#cli/spec/kernel.ts";

export const run: Handler<typeof kernelCommands.commands.default> = async ({ args }, context) => {
  const { output, interrupt } = context;
  const options = { signal: interrupt.signal };
  const client = await context.daemon();
  if (args.kernel !== undefined) {
    const { name } = await client.kernel.setDefault({ name: args.kernel }, options);
    await output.document({ name }, () => name);
    return;
  }
  const found = await client.kernel.default(undefined, options);
  await output.document(found, () => found.name);
  if (found.origin === "configuration") {
    output.note("Not set: using default_kernel from the configuration");
  }
};
