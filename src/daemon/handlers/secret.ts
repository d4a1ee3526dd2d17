/** Procedures for the user's keyring. */
import type { Base } from "./base.ts";

export function secretHandlers({ os, services }: Base) {
  const { secrets } = services;
  return {
    list: os.secret.list.handler(() => secrets.list()),
    set: os.secret.set.handler(({ input }) => secrets.set(input.name, input.source)),
    remove: os.secret.remove.handler(({ input }) => {
      secrets.remove(input.name);
      return {};
    }),
  };
}
