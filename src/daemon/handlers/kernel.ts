/** Procedures for kernels and catalogs. */
import { knownCatalog, publishedKernel } from "#daemon/kernel-answers.ts";
import { assertUnused } from "#daemon/kernel-use.ts";
import { catalogJsonSchema } from "#kernels/catalog.ts";
import { signCatalog, writeKeyPair } from "#kernels/catalogs/author.ts";
import type { Base } from "./base.ts";

export function kernelHandlers({ os, stream, services }: Base) {
  const { config, kernels, images, vms } = services;
  return {
    list: os.kernel.list.handler(() => kernels.list()),
    available: os.kernel.available.handler(({ input }) => kernels.available(input)),
    show: os.kernel.show.handler(({ input }) => kernels.show(input.name)),
    pull: os.kernel.pull.handler(({ input, signal }) =>
      stream(signal, (work) => kernels.pull(input.name, { ...input, ...work })),
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
        publishedKernel(await kernels.unpublish(input.name, { ...input, ...work }), input.catalog),
      ),
    ),
    default: os.kernel.default.handler(() => {
      const chosen = kernels.defaultName();
      const name = chosen ?? config.values.default_kernel;
      return { name, origin: chosen === undefined ? "configuration" : "chosen" };
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
      stream(signal, (work) => kernels.import(input, work)),
    ),
    remove: os.kernel.remove.handler(async ({ input }) => {
      const users = { images: images.list(), vms: vms.list(), fallback: kernels.defaultName() };
      if (!input.force) assertUnused(input.name, users);
      await kernels.remove(input.name);
      return {};
    }),
  };
}
