import { resolve } from "node:path";
import { BangerError } from "#base/error.ts";
import type { Handler } from "#cli/context.ts";
import type { kernelCommands } from "#cli/spec/kernel.ts";

export const run: Handler<typeof kernelCommands.commands.import> = async ({ flags }, context) => {
  const { from, name, force } = flags;
  if (from === undefined) {
    throw new BangerError("invalid_argument", "Cannot import a kernel: --from was not given", {
      hint: "Name the folder with it: banger kernel import --from DIR",
    });
  }
  const client = await context.daemon();
  const kernel = await client.kernel.import(
    {
      from: resolve(from),
      ...(name === undefined ? {} : { name }),
      ...(force ? { force } : {}),
    },
    { signal: context.interrupt.signal },
  );
  await context.output.document(kernel, () => kernel.name);
};
