import { BangerError } from "#base/error.ts";
import { createRequest } from "#cli/args/create.ts";
import type { Handler } from "#cli/context.ts";
import { follow } from "#cli/progress/follow.ts";
import type { vmCommands } from "#cli/spec/vm.ts";

export const run: Handler<typeof vmCommands.commands.create> = async ({ args, flags }, context) => {
  if (args.image !== undefined && flags.image !== undefined) {
    throw new BangerError("invalid_argument", "Cannot use --image: the image was given already");
  }
  const request = createRequest(flags.image ?? args.image, flags, flags);
  const client = await context.daemon();
  const vm = await follow(context, () =>
    client.vm.create(flags.noStart ? { ...request, start: false } : request, {
      signal: context.interrupt.signal,
    }),
  );
  await context.output.document(vm, () => vm.name);
  if (vm.warning) context.output.note(`warning: ${vm.warning}`);
};
