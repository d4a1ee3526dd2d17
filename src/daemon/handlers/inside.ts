/** Procedures for processes, ports and statistics inside machines. */
import type { Base } from "./base.ts";

export function insideHandlers({ os, services: { inside } }: Base) {
  return {
    ports: os.inside.ports.handler(({ input, signal }) => inside.ports(input.name, signal)),
    stats: os.inside.stats.handler(({ input, signal }) => inside.stats(input.name, signal)),
    processes: os.inside.processes.handler(({ input, signal }) =>
      inside.processes(input.name, signal),
    ),
  };
}
