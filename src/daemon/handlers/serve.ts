/** Procedures for the API on TCP and its tokens. */
import type { Base } from "./base.ts";

export function tokenHandlers({ os, services: { tokens } }: Base) {
  return {
    list: os.token.list.handler(() => tokens.list()),
    create: os.token.create.handler(({ input }) => tokens.create(input)),
    remove: os.token.remove.handler(({ input }) => {
      tokens.remove(input.name);
      return {};
    }),
  };
}

export function serveHandlers({ os, events, services: { listeners } }: Base) {
  return {
    list: os.serve.list.handler(() => listeners.list()),
    listen: os.serve.listen.handler(({ input, signal }) =>
      events(signal, listeners.whileOpen(input, signal)),
    ),
  };
}
