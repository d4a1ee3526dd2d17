/** The build operations of the daemon. */
import type { Image, ImageBuild } from "#api/image.ts";
import type { WorkOptions } from "#base/progress.ts";
import type { BuildMachines } from "#builds/run/machines.ts";
import type { ImageRecord } from "#images/records.ts";
import type { ImageService } from "#images/service.ts";
import type { ImageStore } from "#images/store.ts";
import { buildImage } from "./build.ts";
import type { BuildCache } from "./cache.ts";

interface BuildServiceDeps {
  store: ImageStore;
  cache: BuildCache;
  images: Pick<ImageService, "resolve" | "show">;
  machines: BuildMachines;
  privateHosts: readonly string[];
}

export class BuildService {
  readonly #deps: BuildServiceDeps;

  constructor(deps: BuildServiceDeps) {
    this.#deps = deps;
  }

  /** From a Dockerfile, or from an image and a script. An image of that name is replaced. */
  async build(request: ImageBuild, work: WorkOptions = {}): Promise<Image> {
    const { id } = await this.buildRecord(request, work);
    return this.#deps.images.show(id);
  }

  /** The same, returning the store's record. */
  async buildRecord(request: ImageBuild, work: WorkOptions): Promise<ImageRecord> {
    const { images, ...deps } = this.#deps;
    const resolve = images.resolve.bind(images);
    return await buildImage({ ...deps, resolve }, request, work);
  }
}
