/** What is asked of machines. */
import { BangerError } from "#base/error.ts";
import { toOrpcError } from "#daemon/errors.ts";
import type { Base } from "./base.ts";

export function vmHandlers({ os, stream, services }: Base) {
  const { vms } = services;
  return {
    list: os.vm.list.handler(() => vms.list()),
    show: os.vm.show.handler(({ input }) => vms.show(input.name)),
    health: os.vm.health.handler(({ input, signal }) => vms.health(input.name, signal)),
    create: os.vm.create.handler(({ input, signal }) =>
      stream(signal, (work) => vms.create(input, work)),
    ),
    set: os.vm.set.handler(({ input: { name, ...settings } }) => vms.settings.set(name, settings)),
    rename: os.vm.rename.handler(({ input }) => vms.settings.rename(input.name, input.to)),
    clone: os.vm.clone.handler(({ input, signal }) =>
      stream(signal, (work) => vms.settings.clone(input.name, input.to, work)),
    ),
    start: os.vm.start.handler(({ input, signal }) =>
      stream(signal, (work) => vms.start(input.name, work)),
    ),
    stop: os.vm.stop.handler(({ input, signal }) =>
      vms.stop(input.name, { ...graceOf(input), signal }),
    ),
    restart: os.vm.restart.handler(({ input, signal }) =>
      stream(signal, (work) => vms.restart(input.name, { ...graceOf(input), ...work })),
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
      return (async function* () {
        try {
          yield* vms.logs(id, { ...input, signal });
        } catch (error) {
          if (signal?.aborted && !(error instanceof BangerError)) return;
          throw toOrpcError(error);
        }
      })();
    }),
    sshIdentity: os.vm.sshIdentity.handler(({ input }) => vms.sshIdentity(input.name)),
  };
}

/** Without one, the configuration's. */
function graceOf({ grace_ms }: { grace_ms?: number | undefined }): { grace_ms?: number } {
  return grace_ms === undefined ? {} : { grace_ms };
}
