import type { Handler } from "#cli/context.ts";
import type { vmVolumeCommands } from "#cli/spec/volume.ts";

export const run: Handler<typeof vmVolumeCommands.commands.detach> = async ({ args }, context) => {
  const client = await context.daemon();
  const { signal } = context.interrupt;
  const vm = await client.vm.detachVolume({ name: args.vm, volume: args.volume }, { signal });
  await context.output.document(vm, () => vm.name);
};
