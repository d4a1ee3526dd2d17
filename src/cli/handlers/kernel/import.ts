import { resolve } from "node:path";
import { BangerError } from "#base/error.ts";
import type { Handler } from "#cli/context.ts";
import { follow } from "#cli/progress/follow.ts";
import type { kernelCommands } from "#cli/spec/kernel.ts";

export const run: Handler<typeof kernelCommands.commands.import> = async ({ flags }, context) => {
  const { from, name, force } = flags;
  if (from === undefined) {
    throw new BangerError("invalid_argument", "Cannot import a kernel: --from was not given", {
      hint: "Name the folder with it: banger kernel import --from DIR",
    });
  }
  const client = await context.daemon();
  const request = {
    from: resolve(from),
    ...(name === undefined ? {} : { name }),
    ...(force ? { force } : {}),
  };
  const kernel = await follow(context, () =>
    client.kernel.import(request, { signal: context.interrupt.signal }),
  );
  await context.output.document(kernel, () => kernel.name);
  if (kernel.features.length === 0) {
    context.output.note(
      "What it can do is not known: there is no configuration, neither beside it nor inside (IKCONFIG)",
    );
  }
};
