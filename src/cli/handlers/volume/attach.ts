import { BangerError } from "#base/error.ts";
import { parseVolume } from "#cli/args/mounts.ts";
import type { Handler } from "#cli/context.ts";
import type { vmVolumeCommands } from "#cli/spec/volume.ts";

export const run: Handler<typeof vmVolumeCommands.commands.attach> = async ({ args }, context) => {
  const mount = parseVolume(args.mount);
  if (!("volume" in mount)) {
    throw new BangerError(
      "invalid_argument",
      "Cannot attach a directory of the host: directories are shared when a machine is created",
      { hint: `Use a volume, NAME:${mount.path}, or: banger vm create -v ${args.mount}` },
    );
  }
  const client = await context.daemon();
  const { signal } = context.interrupt;
  const vm = await client.vm.attachVolume({ name: args.vm, ...mount }, { signal });
  await context.output.document(vm, () => vm.name);
};
