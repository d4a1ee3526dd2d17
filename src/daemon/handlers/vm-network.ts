/** Procedures for networks, ports and policies of machines. */
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

export function networkHandlers({ os, services }: Base) {
  const { networking } = services.vms;
  return {
    list: os.network.list.handler(() => networking.networks()),
    create: os.network.create.handler(({ input }) => networking.createNetwork(input.name)),
    show: os.network.show.handler(({ input }) => networking.network(input.name)),
    remove: os.network.remove.handler(({ input }) => {
      networking.removeNetwork(input.name);
      return {};
    }),
    connect: os.network.connect.handler(({ input }) => networking.connect(input.name, input.vm)),
    disconnect: os.network.disconnect.handler(({ input }) =>
      networking.disconnect(input.name, input.vm),
    ),
  };
}
