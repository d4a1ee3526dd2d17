/** What is asked of how machines are connected. */
import type { Base } from "./base.ts";

export function vmNetworkHandlers({ os, services }: Base) {
  const { networking } = services.vms;
  return {
    publish: os.vm.publish.handler(({ input }) => networking.publish(input.name, input.ports)),
    unpublish: os.vm.unpublish.handler(({ input }) =>
      networking.unpublish(input.name, input.ports),
    ),
    setPolicy: os.vm.setPolicy.handler(({ input }) =>
      networking.setPolicy(input.name, input.allow),
    ),
    changePolicy: os.vm.changePolicy.handler(({ input }) =>
      networking.changePolicy(input.name, input),
    ),
    policyLog: os.vm.policyLog.handler(({ input }) => networking.policyLog(input.name)),
  };
}
