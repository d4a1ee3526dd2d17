/** The contract, implemented: each procedure is one call into a domain. */
import { AsyncLocalStorage } from "node:async_hooks";
import { getLogger } from "@logtape/logtape";
import { implement } from "@orpc/server";
import { contract } from "#api/contract.ts";
import { BangerError } from "#base/error.ts";
import { version } from "#base/version.ts";
import { catalogJsonSchema } from "#kernels/catalog.ts";
import { signCatalog, writeKeyPair } from "#kernels/catalogs/author.ts";
import type { Services } from "./compose.ts";
import { debugBundle } from "./debug.ts";
import { toOrpcError } from "./errors.ts";
import { knownCatalog, publishedKernel } from "./kernel-answers.ts";
import { assertUnused } from "./kernel-use.ts";
import { currentCall, inCall } from "./log.ts";
import { type Work, withProgress } from "./stream.ts";

const log = getLogger(["banger", "daemon"]);

export function makeRouter(services: Services) {
  const { kernels, images, vms } = services;
  const { calls } = services;
  const os = implement(contract).use(({ next, path }) =>
    inCall(path.join("."), async () => {
      try {
        const result = await next();
        calls.add(path.join("."), "ok");
        return result;
      } catch (error) {
        throw failed(error);
      }
    }),
  );

  function failed(error: unknown) {
    const mapped = toOrpcError(error);
    calls.add(currentCall(), mapped.code);
    log.debug("call failed: {code}, {message}", { code: mapped.code, message: mapped.message });
    return mapped;
  }

  /** Long work as an event iterator, its errors mapped as those of any other procedure. */
  function stream<T>(signal: AbortSignal | undefined, work: (options: Work) => Promise<T>) {
    // It is read when the call itself has returned already.
    const inThisCall = AsyncLocalStorage.snapshot();
    return (async function* () {
      try {
        return yield* withProgress(signal, (options) => inThisCall(work, options));
      } catch (error) {
        throw inThisCall(failed, error);
      }
    })();
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
      repair: os.system.repair.handler(async ({ input }) => {
        const isDryRun = input.dryRun ?? false;
        if (!isDryRun) await services.network.resume();
        return await vms.repair({ isDryRun });
      }),
      events: os.system.events.handler(({ signal }) => vms.events(signal)),
      debug: os.system.debug.handler(() => debugBundle(services)),
    },
    kernel: {
      list: os.kernel.list.handler(() => kernels.list()),
      available: os.kernel.available.handler(({ input }) => kernels.available(input)),
      show: os.kernel.show.handler(({ input }) => kernels.show(input.name)),
      pull: os.kernel.pull.handler(({ input, signal }) =>
        stream(signal, (work) =>
          kernels.pull(input.name, { force: input.force ?? false, ...work }),
        ),
      ),
      build: os.kernel.build.handler(({ input, signal }) =>
        stream(signal, (work) => kernels.build(input, work)),
      ),
      publish: os.kernel.publish.handler(({ input, signal }) =>
        stream(signal, async (work) =>
          publishedKernel(await kernels.publish(input.name, { ...input, ...work }), input.catalog),
        ),
      ),
      unpublish: os.kernel.unpublish.handler(({ input, signal }) =>
        stream(signal, async (work) =>
          publishedKernel(
            await kernels.unpublish(input.name, { ...input, ...work }),
            input.catalog,
          ),
        ),
      ),
      default: os.kernel.default.handler(() => {
        const name = kernels.defaultName();
        return name === undefined ? {} : { name };
      }),
      setDefault: os.kernel.setDefault.handler(({ input }) => kernels.setDefault(input.name)),
      catalog: {
        list: os.kernel.catalog.list.handler(() => kernels.catalogs.list().map(knownCatalog)),
        add: os.kernel.catalog.add.handler(async ({ input, signal }) =>
          knownCatalog(await kernels.catalogs.add(input, signal)),
        ),
        remove: os.kernel.catalog.remove.handler(({ input }) => {
          kernels.catalogs.remove(input.name);
          return {};
        }),
        update: os.kernel.catalog.update.handler(async ({ input, signal }) =>
          knownCatalog(await kernels.catalogs.update(input.name, signal)),
        ),
        schema: os.kernel.catalog.schema.handler(() => catalogJsonSchema()),
        keygen: os.kernel.catalog.keygen.handler(({ input }) => writeKeyPair(input.path)),
        sign: os.kernel.catalog.sign.handler(({ input }) => ({
          signature: signCatalog(input.catalog, input.key),
        })),
      },
      import: os.kernel.import.handler(({ input, signal }) =>
        kernels.import(input, signal ? { signal } : {}),
      ),
      remove: os.kernel.remove.handler(async ({ input }) => {
        if (!input.force) assertUnused(input.name, images.list(), vms.list());
        await kernels.remove(input.name);
        return {};
      }),
    },
    image: {
      list: os.image.list.handler(() => images.list()),
      available: os.image.available.handler(() => images.available()),
      usage: os.image.usage.handler(() => images.usage()),
      show: os.image.show.handler(({ input }) => images.show(input.name)),
      history: os.image.history.handler(({ input }) => images.history(input.name)),
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
      register: os.image.register.handler(({ input, signal }) =>
        stream(signal, (work) => images.register(input, work)),
      ),
      promote: os.image.promote.handler(({ input, signal }) =>
        stream(signal, (work) => images.promote(input.name, { ...work, link: input.link })),
      ),
      tag: os.image.tag.handler(({ input }) => images.tag(input.name, input.to)),
      outdated: os.image.outdated.handler(({ input, signal }) =>
        images.outdated(input.names, { signal }),
      ),
      update: os.image.update.handler(({ input, signal }) =>
        stream(signal, (work) => images.update(input.name, work)),
      ),
      push: os.image.push.handler(({ input, signal }) =>
        stream(signal, (work) => images.push(input.name, input.reference, work)),
      ),
      save: os.image.save.handler(({ input, signal }) =>
        stream(signal, (work) => images.save(input, work)),
      ),
      gc: os.image.gc.handler(({ input, signal }) => images.gc(input, { signal })),
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
      prune: os.vm.prune.handler(() => vms.prune()),
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
