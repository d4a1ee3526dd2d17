import { resolve } from "node:path";
import { BangerError } from "#base/error.ts";
import { archOf } from "#cli/args/arch.ts";
import { optionalNameOf } from "#cli/args/name.ts";
import type { Handler } from "#cli/context.ts";
import { follow } from "#cli/progress/follow.ts";
import type { kernelCommands } from "#cli/spec/kernel.ts";

export const run: Handler<typeof kernelCommands.commands.import> = async (
  { args, flags },
  context,
) => {
  const { from, distro, force } = flags;
  const name = optionalNameOf(args.name, flags.name);
  const arch = archOf(flags.arch);
  if (from === undefined) {
    throw new BangerError("invalid_argument", "missing required option --from", {
      hint: `Pass the kernel's directory: banger kernel import ${name ?? "NAME"} --from DIR`,
    });
  }
  const client = await context.daemon();
  const request = {
    from: resolve(from),
    name,
    distro,
    arch,
    force,
  };
  const kernel = await follow(context, () =>
    client.kernel.import(request, { signal: context.interrupt.signal }),
  );
  await context.output.document(kernel, () => kernel.name);
  if (kernel.features.length === 0) {
    context.output.note(
      "Kernel features unknown: no configuration found beside the kernel or inside it (IKCONFIG)",
    );
  }
};
