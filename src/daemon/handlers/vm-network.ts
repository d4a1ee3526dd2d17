/** What is asked of how machines are connected. */
import type { Base } from "./base.ts";

export function vmNetworkHandlers({ os, services }: Base) {
  const { networking } = services.vms;
  return {
    publish: os.vm.publish.handler(({ input }) => networking.publish(input.name, input.ports)),
    unpublish: os.vm.unpublish.handler(({ input }) =>
      networking.unpublish(input.name, input.ports),
    ),
  };
}
