/** Procedures for images. */

import { BangerError } from "#base/error.ts";
import { tryStopWork } from "#daemon/lock.ts";
import { provisionImage } from "#daemon/provision.ts";
import type { Base } from "./base.ts";

export function imageHandlers({ os, stream, services }: Base) {
  const { kernels, images, builds, templates, snapshots, volumes } = services;
  return {
    list: os.image.list.handler(() => images.list()),
    available: os.image.available.handler(() => images.available()),
    usage: os.image.usage.handler(() => ({
      ...images.usage(),
      templates_bytes: templates?.usage().size_bytes ?? 0,
      snapshots_bytes: snapshots.usage().size_bytes,
      volumes_bytes: volumes.usage().size_bytes,
    })),
    show: os.image.show.handler(({ input }) => images.show(input.name)),
    history: os.image.history.handler(({ input }) => images.history(input.name)),
    pull: os.image.pull.handler(({ input, signal }) =>
      stream(signal, async (work) => {
        // A kernel that is not to be had is said before megabytes are fetched for it.
        if (input.kernel) await kernels.require(input.kernel);
        return await images.pull(input, work);
      }),
    ),
    build: os.image.build.handler(({ input, signal }) =>
      stream(signal, async (work) => {
        if (input.kernel) await kernels.require(input.kernel);
        return await builds.build(input, work);
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
    provision: os.image.provision.handler(({ input, signal }) =>
      stream(signal, (work) => provisionImage(services, { ...input, work })),
    ),
    unprovision: os.image.unprovision.handler(({ input }) => {
      images.unprovision(input.name);
      return {};
    }),
    gc: os.image.gc.handler(async ({ input, signal }) => {
      using alone = tryStopWork(services.config.paths.workLock);
      if (alone) {
        const gone = templates?.collect(input) ?? { count: 0, freed_bytes: 0 };
        const result = await images.gc(input, { signal });
        const freed_bytes = result.freed_bytes + gone.freed_bytes;
        return { ...result, templates: gone.count, freed_bytes };
      }
      throw new BangerError(
        "conflict",
        "Cannot run gc while a foreground machine is being created",
        {
          hint: "Try again in a moment",
        },
      );
    }),
    remove: os.image.remove.handler(({ input }) => {
      images.remove(input.name);
      return {};
    }),
  };
}
