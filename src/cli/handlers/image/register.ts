import { resolve } from "node:path";
import { BangerError } from "#base/error.ts";
import { nameOf } from "#cli/args/name.ts";
import type { Handler } from "#cli/context.ts";
import { follow } from "#cli/progress/follow.ts";
import type { imageCommands } from "#cli/spec/image.ts";

export const run: Handler<typeof imageCommands.commands.register> = async (
  { args, flags },
  context,
) => {
  const { rootfs, kernel, kernelRef, initrd, modules, workSeed } = flags;
  const name = nameOf(args.name, flags.name, "banger image register NAME --rootfs FILE");
  if (rootfs === undefined) {
    throw new BangerError("invalid_argument", "missing required option --rootfs", {
      hint: `Pass an ext4 file: banger image register ${name} --rootfs FILE`,
    });
  }
  const client = await context.daemon();
  const image = await follow(context, () =>
    client.image.register(
      {
        name,
        rootfs: resolve(rootfs),
        kernelFile: kernel === undefined ? undefined : resolve(kernel),
        kernel: kernelRef,
        initrd: initrd === undefined ? undefined : resolve(initrd),
        modules: modules === undefined ? undefined : resolve(modules),
        workSeed: workSeed === undefined ? undefined : resolve(workSeed),
      },
      { signal: context.interrupt.signal },
    ),
  );
  await context.output.document(image, () => image.name);
};
