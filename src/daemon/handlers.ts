/** The contract, implemented: each procedure is one call into a domain. */
import { implement } from "@orpc/server";
import { contract } from "#api/contract.ts";
import { BangerError } from "#base/error.ts";
import { version } from "#base/version.ts";
import type { Services } from "./compose.ts";
import { toOrpcError } from "./errors.ts";
import { assertUnused } from "./kernel-use.ts";
import { type Work, withProgress } from "./stream.ts";

export function makeRouter(services: Services) {
  const { kernels, images, vms } = services;
  const os = implement(contract).use(async ({ next }) => {
    try {
      return await next();
    } catch (error) {
      throw toOrpcError(error);
    }
  });

  /** Long work as an event iterator, its errors mapped as those of any other procedure. */
  async function* stream<T>(signal: AbortSignal | undefined, work: (options: Work) => Promise<T>) {
    try {
      return yield* withProgress(signal, work);
    } catch (error) {
      throw toOrpcError(error);
    }
  }

  return os.router({
    system: {
      status: os.system.status.handler(() => ({
        ...version,
        pid: process.pid,
        startedAt: services.startedAt,
        stateDir: services.config.paths.roots.state,
        machinesRunning: vms.list().filter(({ state }) => state === "running").length,
        rss_bytes: process.memoryUsage.rss(),
      })),
      shutdown: os.system.shutdown.handler(() => {
        setTimeout(services.shutdown, 20);
        return {};
      }),
    },
    kernel: {
      list: os.kernel.list.handler(() => kernels.list()),
      available: os.kernel.available.handler(() => kernels.available()),
      show: os.kernel.show.handler(({ input }) => kernels.show(input.name)),
      pull: os.kernel.pull.handler(({ input, signal }) =>
        stream(signal, (work) =>
          kernels.pull(input.name, { force: input.force ?? false, ...work }),
        ),
      ),
      import: os.kernel.import.handler(({ input }) => kernels.import(input)),
      remove: os.kernel.remove.handler(async ({ input }) => {
        if (!input.force) assertUnused(input.name, images.list(), vms.list());
        await kernels.remove(input.name);
        return {};
      }),
    },
    image: {
      list: os.image.list.handler(() => images.list()),
      show: os.image.show.handler(({ input }) => images.show(input.name)),
      pull: os.image.pull.handler(({ input, signal }) =>
        stream(signal, async (work) => {
          // A kernel that is not to be had is said before megabytes are fetched for it.
          if (input.kernel) await kernels.require(input.kernel);
          return await images.pull(input, work);
        }),
      ),
      bootstrap: os.image.bootstrap.handler(({ input, signal }) =>
        stream(signal, async (work) => {
          if (input.kernel) await kernels.require(input.kernel);
          return await images.bootstrap(input, work);
        }),
      ),
      remove: os.image.remove.handler(({ input }) => {
        images.remove(input.name);
        return {};
      }),
    },
    vm: {
      list: os.vm.list.handler(() => vms.list()),
      show: os.vm.show.handler(({ input }) => vms.show(input.name)),
      create: os.vm.create.handler(({ input, signal }) =>
        stream(signal, (work) => vms.create(input, work)),
      ),
      start: os.vm.start.handler(({ input, signal }) =>
        stream(signal, (work) => vms.start(input.name, work)),
      ),
      stop: os.vm.stop.handler(({ input }) => vms.stop(input.name, input.grace_ms)),
      restart: os.vm.restart.handler(({ input, signal }) =>
        stream(signal, async (work) => {
          work.onProgress({ step: "stop", message: `Stopping ${input.name}` });
          await vms.stop(input.name, input.grace_ms);
          return await vms.start(input.name, work);
        }),
      ),
      kill: os.vm.kill.handler(({ input }) => vms.kill(input.name)),
      remove: os.vm.remove.handler(async ({ input }) => {
        await vms.remove(input.name, { force: input.force ?? false });
        return {};
      }),
      wait: os.vm.wait.handler(async ({ input, signal }) => await vms.wait(input.name, signal)),
      logs: os.vm.logs.handler(async function* ({ input, signal }) {
        try {
          yield* vms.logs(input.name, { ...input, signal });
        } catch (error) {
          if (signal?.aborted && !(error instanceof BangerError)) return;
          throw toOrpcError(error);
        }
      }),
      sshIdentity: os.vm.sshIdentity.handler(({ input }) => vms.sshIdentity(input.name)),
    },
  });
}
