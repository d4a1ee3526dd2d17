/** The image operations of the daemon; all of them may run concurrently. */
import type {
  Image,
  ImageBootstrap,
  ImageBuild,
  ImageCatalogEntry,
  ImageExport,
  ImageOutdated,
  ImagePull,
  ImageRegister,
  ImageSave,
  ImageStep,
  ImageUpdated,
} from "#api/image.ts";
import type { ImageGc, ImageGcResult, ImageUsage } from "#api/image-space.ts";
import { BangerError } from "#base/error.ts";
import { readChunks } from "#base/files/chunks.ts";
import type { WorkOptions } from "#base/progress.ts";
import { assertManaged, type PackedImage, packImage } from "#images/export/pack.ts";
import { assertSavable, saveDockerArchive, saveOciLayout } from "#images/export/save.ts";
import { bootstrapImage } from "#images/local/bootstrap.ts";
import {
  type PromoteOptions,
  promoteImage,
  registerImage,
  tagImage,
} from "#images/local/register.ts";
import {
  type PackageOptions,
  type PackageRepository,
  preparePackages,
} from "#images/packages/packages.ts";
import { sweepScratch } from "#images/packages/scratch.ts";
import { type ProvisionedLayers, provisionedLayers } from "#images/provisioned/layers.ts";
import { layerPath } from "#images/provisioned/records.ts";
import { hostPlatform } from "#oci/platform.ts";
import { canonicalName, parseReference } from "#oci/reference.ts";
import { pushToRegistry } from "#oci/registry/push.ts";
import { describeSource, findInCatalog, loadCatalog } from "./catalog.ts";
import { collectGarbage, sweepLeftovers } from "./gc.ts";
import { stepsOf } from "./history.ts";
import { checkOutdated, registryReference } from "./outdated.ts";
import { type PullOptions, pullImage } from "./pull.ts";
import {
  assertFilesPresent,
  filesOf,
  findImage,
  getImage,
  type ImageRecord,
  INTERMEDIATE_REFERENCE,
  imageNames,
  listImages,
  toApi,
} from "./records.ts";
import type { ImageStore } from "./store.ts";
import { measureUsage } from "./usage.ts";

const OUTDATED_CHECKS_MAX = 4;

/** The kernel operations that images need. */
export interface KernelPort {
  /** Throws unless a kernel of that name exists. */
  require(name: string): Promise<unknown>;
  /** Pulls it if it is missing. */
  ensure(name: string, work: WorkOptions): Promise<void>;
  /** Throws unless the file is a kernel. */
  inspect(path: string, signal?: AbortSignal): Promise<{ arch: string }>;
}

export interface ImageSettings {
  insecureRegistries: readonly string[];
  /** Mirrors, by registry. */
  mirrors: Readonly<Record<string, readonly string[]>>;
  dockerConfigPath: string;
  kernels: KernelPort;
  /** Builds the image of a catalog entry whose source is a recipe. */
  build: (request: ImageBuild, work: WorkOptions) => Promise<ImageRecord>;
  /** Of a registry's requests; for tests. */
  retryDelay_ms?: number;
  stallTimeout_ms?: number;
}

export class ImageService {
  /** Provisioned layers. */
  readonly provisioned: ProvisionedLayers;
  readonly #store: ImageStore;
  readonly #settings: ImageSettings;

  constructor(store: ImageStore, settings: ImageSettings) {
    this.#store = store;
    this.provisioned = provisionedLayers(store);
    this.#settings = settings;
  }

  list(): Image[] {
    return listImages(this.#store.db)
      .filter(({ reference }) => reference !== INTERMEDIATE_REFERENCE)
      .map((image) => this.#toApi(image));
  }

  show(ref: string): Image {
    return this.#toApi(this.#get(ref));
  }

  /** By name, id, digest or reference, or by a catalog name. */
  find(ref: string): Image | undefined {
    const image = findImage(this.#store.db, ref) ?? this.#findByAlias(ref);
    return image && this.#toApi(image);
  }

  /** `invalid_state` if a file of an unmanaged image is missing. */
  assertUsable(ref: string): void {
    assertFilesPresent(this.#get(ref), this.#store.paths);
  }

  /** The packages that the first boot of a Debian image installs. Fails where only the guest can get them. */
  async preparePackages(ref: string, options: PackageOptions): Promise<PackageRepository> {
    const { rootfs } = this.show(ref);
    return await preparePackages(this.#store, rootfs, options);
  }

  /** Prevents removal of an image until disposed of, for a machine that has no row yet. */
  hold(id: string): Disposable {
    return this.#store.hold(id);
  }

  /** The catalog entries for this host's architecture. */
  available(): ImageCatalogEntry[] {
    const names = new Set(listImages(this.#store.db).map(({ name }) => name));
    return this.#catalog().map((entry) => ({
      name: entry.name,
      aliases: entry.aliases,
      description: entry.description,
      arch: entry.arch,
      source: describeSource(entry),
      kernel: entry.kernel,
      pulled: names.has(entry.name),
    }));
  }

  /** Pulling a digest that exists under this name takes one manifest request. */
  async pull(request: ImagePull, options: WorkOptions = {}): Promise<Image> {
    return this.#toApi(await pullImage(this.#store, request, this.#pullOptions(options)));
  }

  /** The image of a reference or name, pulled if it is missing or if `pulls` is set. */
  async resolve(
    reference: string,
    { pulls, ...work }: WorkOptions & { pulls: boolean },
  ): Promise<ImageRecord> {
    const here = findImage(this.#store.db, reference) ?? this.#findByAlias(reference);
    if (here && !(pulls && registryReference(here))) return here;
    return await pullImage(this.#store, { reference }, this.#pullOptions(work));
  }

  /** Creates a Debian image from packages with mmdebstrap, without a registry. */
  async bootstrap(request: ImageBootstrap, options: WorkOptions = {}): Promise<Image> {
    return this.#toApi(await bootstrapImage(this.#store, request, options));
  }

  /** Registers the user's own files as an image. */
  async register(request: ImageRegister, options: WorkOptions = {}): Promise<Image> {
    const { kernels } = this.#settings;
    return this.#toApi(
      await registerImage(this.#store, request, {
        ...options,
        requireKernel: (name) => kernels.require(name),
        inspectKernel: (path, signal) => kernels.inspect(path, signal),
      }),
    );
  }

  /** Copies the files of a registered image into the store. */
  async promote(ref: string, options: PromoteOptions = {}): Promise<Image> {
    return this.#toApi(await promoteImage(this.#store, this.#get(ref).id, options));
  }

  /** Adds a second name to an image. */
  async tag(ref: string, to: string): Promise<Image> {
    return this.#toApi(await tagImage(this.#store, this.#get(ref).id, to));
  }

  /** The build history, oldest step first, with the layer of each step. */
  history(ref: string): ImageStep[] {
    return stepsOf(this.#get(ref));
  }

  /** `invalid_state` while a machine uses it. The files of an unmanaged image are kept. */
  remove(ref: string): void {
    const named = imageNames(this.#store.db).find(({ name, id }) => name === ref || id === ref);
    const { id } = named ?? this.#get(ref, "List images with: banger image list");
    this.#store.remove(id);
  }

  /** Discards the provisioned layer: the image's next machine is provisioned again. */
  unprovision(ref: string): void {
    this.provisioned.retire(this.#get(ref).id);
  }

  async gc(
    request: ImageGc = {},
    options: WorkOptions = {},
  ): Promise<Omit<ImageGcResult, "templates">> {
    return await collectGarbage(this.#store, request, options);
  }

  usage(): Omit<ImageUsage, "templates_bytes" | "snapshots_bytes" | "volumes_bytes"> {
    return measureUsage(this.#store);
  }

  /** Every image, or the named ones. */
  async outdated(
    refs: readonly string[] = [],
    options: WorkOptions = {},
  ): Promise<ImageOutdated[]> {
    const { db } = this.#store;
    const images = refs.length > 0 ? refs.map((ref) => this.#get(ref)) : listImages(db);
    const results: ImageOutdated[] = [];
    const queue = [...images.entries()];
    const work = async (): Promise<void> => {
      for (let next = queue.shift(); next; next = queue.shift()) {
        const [index, image] = next;
        results[index] = await checkOutdated(this.#store, image, {
          ...this.#pullOptions(options),
          cacheDir: this.#store.paths.blobs,
        });
      }
    };
    await Promise.all(Array.from({ length: OUTDATED_CHECKS_MAX }, work));
    return results;
  }

  /** Pulls the image's reference again. An image that was pulled by digest does not change. */
  async update(ref: string, options: WorkOptions = {}): Promise<ImageUpdated> {
    const image = this.#get(ref);
    const reference = registryReference(image);
    if (!reference) {
      throw new BangerError(
        "invalid_state",
        `Cannot update image "${image.name}": it was not pulled from a registry`,
        { hint: "List images that can be updated with: banger image outdated" },
      );
    }
    if (reference.digest) return { image: this.#toApi(image), changed: false };
    const { name, platform } = image;
    const pulled = await this.pull({ reference: image.reference, name, platform }, options);
    return { image: pulled, changed: pulled.digest !== image.digest };
  }

  /** Pushes a managed image to a registry as one layer. The same image gives the same digests. */
  async push(ref: string, target: string, options: WorkOptions = {}): Promise<ImageExport> {
    const reference = parseReference(target);
    return await this.#packed(ref, "push", options, async ({ manifest, config, layer }) => {
      const { digest, size } = layer;
      await pushToRegistry(reference, {
        ...this.#pullOptions(options),
        manifest,
        blobs: [
          { digest, size, read: (signal) => readChunks(layer.path, { signal }) },
          { digest: config.digest, size: config.bytes.length, read: () => once(config.bytes) },
        ],
      });
      return { target: canonicalName(reference), digest: manifest.digest, size_bytes: size };
    });
  }

  /** Saves a managed image to a directory or file, as one layer. */
  async save(request: ImageSave, options: WorkOptions = {}): Promise<ImageExport> {
    const { name: ref, path, format, force } = request;
    const { name } = this.#get(ref);
    assertSavable(path, { format, force });
    return await this.#packed(ref, "save", options, async (packed) => {
      const save = format === "oci" ? saveOciLayout : saveDockerArchive;
      options.onProgress?.({ step: "save", message: `Writing ${path}` });
      await save(packed, { path, name, signal: options.signal });
      const { manifest, layer } = packed;
      return { target: path, digest: manifest.digest, size_bytes: layer.size };
    });
  }

  /** Removes what a crash left behind, when the daemon starts. Returns the paths. */
  sweep(): string[] {
    return [...sweepLeftovers(this.#store), ...sweepScratch()];
  }

  async #packed<T>(
    ref: string,
    action: string,
    options: WorkOptions,
    use: (packed: PackedImage) => Promise<T>,
  ): Promise<T> {
    const store = this.#store;
    const image = this.#get(ref);
    assertManaged(image, action);
    const { rootfs } = filesOf(image, store.paths);
    return await store.withScratch(store.paths.downloads, "image-layer.tar.gz", async (path) =>
      use(await packImage(image, { ...options, rootfs, path })),
    );
  }

  /** Finds an image by its catalog name. */
  #get(ref: string, hint?: string): ImageRecord {
    return (
      findImage(this.#store.db, ref) ??
      this.#findByAlias(ref) ??
      getImage(this.#store.db, ref, hint)
    );
  }

  #findByAlias(ref: string): ImageRecord | undefined {
    const entry = /[/:@]/.test(ref) ? undefined : findInCatalog(this.#catalog(), ref);
    const image = entry && findImage(this.#store.db, entry.name);
    return image?.name === entry?.name ? image : undefined;
  }

  #catalog() {
    return loadCatalog(this.#store.paths.imageCatalog, hostPlatform().architecture);
  }

  #pullOptions(options: WorkOptions): PullOptions {
    const { kernels, ...settings } = this.#settings;
    return { ...settings, ...options, ensureKernel: (name, work) => kernels.ensure(name, work) };
  }

  #toApi(image: ImageRecord): Image {
    const layer = this.provisioned.current(image.id);
    if (!layer) return toApi(image, this.#store.paths);
    const { size_bytes, allocated_bytes, createdAt } = layer;
    const path = layerPath(this.#store.paths, layer);
    return {
      ...toApi(image, this.#store.paths),
      provisioned: { path, size_bytes, allocated_bytes, createdAt },
    };
  }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
