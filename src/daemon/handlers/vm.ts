/** Procedures for machines. */
import { sees } from "#daemon/serve/authorize.ts";
import type { Base } from "./base.ts";

export function vmHandlers({ os, stream, eventsLater, services }: Base) {
  const { vms } = services;
  return {
    list: os.vm.list.handler(({ context }) => vms.list().filter((vm) => sees(context.caller, vm))),
    show: os.vm.show.handler(({ input }) => vms.show(input.name)),
    health: os.vm.health.handler(({ input, signal }) => vms.health(input.name, signal)),
    create: os.vm.create.handler(({ input, signal, context: { caller } }) =>
      stream(signal, (work) => vms.create({ ...input, token: caller.token }, work)),
    ),
    set: os.vm.set.handler(({ input: { name, ...settings } }) => vms.settings.set(name, settings)),
    rename: os.vm.rename.handler(({ input }) => vms.settings.rename(input.name, input.to)),
    clone: os.vm.clone.handler(({ input: { name, to }, signal, context: { caller } }) =>
      stream(signal, (work) => vms.settings.clone(name, { to, token: caller.token, ...work })),
    ),
    start: os.vm.start.handler(({ input, signal }) =>
      stream(signal, (work) => vms.start(input.name, work)),
    ),
    stop: os.vm.stop.handler(({ input, signal }) =>
      vms.stop(input.name, { grace_ms: input.grace_ms, signal }),
    ),
    restart: os.vm.restart.handler(({ input, signal }) =>
      stream(signal, (work) => vms.restart(input.name, { grace_ms: input.grace_ms, ...work })),
    ),
    pause: os.vm.pause.handler(({ input }) => vms.pause(input.name)),
    resume: os.vm.resume.handler(({ input, signal }) =>
      stream(signal, (work) => vms.resume(input.name, work)),
    ),
    suspend: os.vm.suspend.handler(({ input, signal }) =>
      stream(signal, (work) => vms.suspend(input.name, work)),
    ),
    kill: os.vm.kill.handler(({ input }) => vms.kill(input.name)),
    remove: os.vm.remove.handler(async ({ input, signal }) => {
      await vms.remove(input.name, { force: input.force, signal });
      return {};
    }),
    prune: os.vm.prune.handler(() => vms.prune()),
    wait: os.vm.wait.handler(async ({ input, signal }) => await vms.wait(input.name, signal)),
    logs: os.vm.logs.handler(({ input, signal }) => {
      // A follower's first event may be long in coming: an unknown name is refused now.
      const { id } = vms.show(input.name);
      return eventsLater(signal, vms.logs(id, { ...input, signal }));
    }),
    sshIdentity: os.vm.sshIdentity.handler(({ input }) => vms.sshIdentity(input.name)),
  };
}
