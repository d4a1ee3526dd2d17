/** Procedures for networks, ports and policies of machines. */
import { listProfiles } from "#net/policy/profiles.ts";
import type { Base } from "./base.ts";

export function vmNetworkHandlers({ os, services }: Base) {
  const { networking } = services.vms;
  return {
    publish: os.vm.publish.handler(({ input }) => networking.publish(input.name, input.ports)),
    unpublish: os.vm.unpublish.handler(({ input }) =>
      networking.unpublish(input.name, input.ports),
    ),
    setPolicy: os.vm.setPolicy.handler(({ input }) => networking.setPolicy(input.name, input)),
    changePolicy: os.vm.changePolicy.handler(({ input }) =>
      networking.changePolicy(input.name, input),
    ),
    policyEvents: os.vm.policyEvents.handler(({ input, signal }) =>
      networking.followPolicy(input.name, signal),
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

export function policyHandlers({ os, services }: Base) {
  const { questions, always } = services;
  return {
    profiles: os.policy.profiles.handler(() => listProfiles()),
    questions: os.policy.questions.handler(() => questions.list()),
    watch: os.policy.watch.handler(({ signal }) => questions.watch(signal)),
    answer: os.policy.answer.handler(async ({ input }) => {
      await questions.answer(input);
      return {};
    }),
    answers: os.policy.answers.handler(() => always.list()),
    forget: os.policy.forget.handler(({ input }) => {
      always.remove(input.rule);
      return {};
    }),
  };
}
