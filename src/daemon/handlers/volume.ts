/** Procedures for volumes. */
import { sees } from "#daemon/serve/authorize.ts";
import type { Base } from "./base.ts";

export function volumeHandlers({ os, services }: Base) {
  const { volumes } = services;
  return {
    list: os.volume.list.handler(({ context }) =>
      volumes.list().filter((volume) => sees(context.caller, volume)),
    ),
    create: os.volume.create.handler(({ input, context: { caller } }) =>
      volumes.create({ ...input, token: caller.token }),
    ),
    show: os.volume.show.handler(({ input }) => volumes.show(input.name)),
    remove: os.volume.remove.handler(({ input }) => {
      volumes.remove(input.name);
      return {};
    }),
    prune: os.volume.prune.handler(() => volumes.prune()),
  };
}
