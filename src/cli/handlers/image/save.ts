import { resolve } from "node:path";
import { BangerError } from "#base/error.ts";
import type { Handler } from "#cli/context.ts";
import { follow } from "#cli/progress/follow.ts";
import type { imageCommands } from "#cli/spec/image.ts";

export const run: Handler<typeof imageCommands.commands.save> = async (
  { args, flags },
  context,
) => {
  const { oci, docker, force } = flags;
  const target = oci ?? docker;
  if (target === undefined || (oci !== undefined && docker !== undefined)) {
    throw new BangerError(
      "invalid_argument",
      `Cannot save image "${args.image}": exactly one of --oci and --docker is required`,
      { hint: `For example: banger image save ${args.image} --oci FILE.tar` },
    );
  }
  const request = {
    name: args.image,
    format: oci === undefined ? ("docker" as const) : ("oci" as const),
    // The "/" at the end of a folder's name says nothing more.
    path: resolve(target),
    force,
  };
  const client = await context.daemon();
  const { signal } = context.interrupt;
  const saved = await follow(context, () => client.image.save(request, { signal }));
  await context.output.document(saved, () => saved.target);
};
