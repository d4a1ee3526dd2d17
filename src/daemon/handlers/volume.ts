/** Procedures for volumes. */
import { sees } from "#daemon/serve/authorize.ts";
import type { Base } from "./base.ts";

export function volumeHandlers({ os, services }: Base) {
  const { volumes, vms } = services;
  return {
    list: os.volume.list.handler(({ context }) =>
      volumes.list().filter((volume) => sees(context.caller, volume)),
    ),
    create: os.volume.create.handler(({ input, context: { caller } }) =>
      volumes.create({ ...input, token: caller.token }),
    ),
    show: os.volume.show.handler(({ input }) => volumes.show(input.name)),
    resize: os.volume.resize.handler(({ input }) =>
      vms.mounts.resize(input.name, input.size_bytes),
    ),
    remove: os.volume.remove.handler(({ input }) => {
      volumes.remove(input.name);
      return {};
    }),
    prune: os.volume.prune.handler(() => volumes.prune()),
  };
}

export function vmVolumeHandlers({ os, services }: Base) {
  const { mounts } = services.vms;
  return {
    attachVolume: os.vm.attachVolume.handler(({ input: { name, ...mount }, context }) =>
      mounts.attach(name, mount, context.caller.token),
    ),
    detachVolume: os.vm.detachVolume.handler(({ input }) =>
      mounts.detach(input.name, input.volume),
    ),
  };
}
