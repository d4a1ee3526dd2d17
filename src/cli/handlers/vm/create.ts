import { BangerError } from "#base/error.ts";
import { createRequest } from "#cli/args/create.ts";
import type { Handler } from "#cli/context.ts";
import { follow } from "#cli/progress/follow.ts";
import type { vmCommands } from "#cli/spec/vm.ts";

export const run: Handler<typeof vmCommands.commands.create> = async ({ args, flags }, context) => {
  // With --image the first word is the command's.
  const words = [args.image, ...args.command].filter((word) => word !== undefined);
  const image = flags.image ?? words.shift();
  if (flags.noCommand && (words.length > 0 || flags.entrypoint)) {
    throw new BangerError("invalid_argument", "conflicting options: --no-command and a command");
  }
  const { entrypoint } = flags;
  const { snapshot } = flags;
  if (snapshot !== undefined && (image !== undefined || words.length > 0)) {
    throw new BangerError("invalid_argument", "conflicting options: --snapshot and an image");
  }
  const request = {
    snapshot,
    ...createRequest(image, flags, flags),
    command: words.length > 0 || flags.noCommand ? words : undefined,
    entrypoint: entrypoint === undefined ? undefined : entrypoint === "" ? [] : [entrypoint],
  };
  const client = await context.daemon();
  const vm = await follow(context, () =>
    client.vm.create(flags.noStart ? { ...request, start: false } : request, {
      signal: context.interrupt.signal,
    }),
  );
  await context.output.document(vm, () => vm.name);
  if (vm.warning) context.output.warn(vm.warning);
};
