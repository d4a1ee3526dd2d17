/**
 * The image store as the daemon uses it. An image is a row and a folder; the folder is
 * in place before the row exists and goes after it, so a crash leaves at most a folder
 * that nothing names, which `sweep` removes.
 */
import type { Database } from "bun:sqlite";
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Image, ImageBootstrap, ImagePull } from "#api/image.ts";
import { STAGING_MARK, stagingPath } from "#base/atomic.ts";
import type { Digest } from "#base/digest.ts";
import { BangerError } from "#base/error.ts";
import { newId } from "#base/id.ts";
import type { OnProgress } from "#base/progress.ts";
import type { Paths } from "#config/paths.ts";
import type { Layer } from "#oci/layer.ts";
import { formatPlatform } from "#oci/platform.ts";
import { openImage } from "#oci/source.ts";
import { bootstrapLayer } from "./bootstrap.ts";
import { keptConfig } from "./config.ts";
import {
  deleteImage,
  findImage,
  getImage,
  type ImageRecord,
  insertImage,
  listImages,
  machinesOf,
  nameFromReference,
  renameImage,
  setImageKernel,
  toApi,
} from "./records.ts";
import { buildRootfs } from "./rootfs.ts";

export interface WorkOptions {
  signal?: AbortSignal | undefined;
  onProgress?: OnProgress | undefined;
}

export interface ImageSettings {
  insecureRegistries: string[];
  /** By registry: hosts that are asked first. */
  mirrors: Record<string, readonly string[]>;
  dockerConfigPath: string;
}

/** What an image is made of, once its source is known. */
interface Recipe {
  name: string;
  reference: string;
  digest: Digest;
  platform: string;
  kernel: string | undefined;
  layers: readonly Layer[];
  config: Image["config"];
}

export class ImageService {
  readonly #db: Database;
  readonly #paths: Paths;
  readonly #settings: ImageSettings;

  constructor(db: Database, paths: Paths, settings: ImageSettings) {
    this.#db = db;
    this.#paths = paths;
    this.#settings = settings;
  }

  list(): Image[] {
    return listImages(this.#db).map((image) => toApi(image, this.#paths));
  }

  show(ref: string): Image {
    return toApi(getImage(this.#db, ref), this.#paths);
  }

  find(ref: string): Image | undefined {
    const image = findImage(this.#db, ref);
    return image && toApi(image, this.#paths);
  }

  /** Pulling a digest that is already here under this name costs one manifest request. */
  async pull(request: ImagePull, options: WorkOptions = {}): Promise<Image> {
    await using source = await openImage(request.reference, {
      ...this.#settings,
      cacheDir: this.#paths.blobs,
      ...(request.platform ? { platform: request.platform } : {}),
      ...options,
    });
    const name = request.name ?? nameFromReference(source.reference);
    const present = findImage(this.#db, name);
    if (present && present.digest === source.manifestDigest && !request.force) {
      if (request.kernel) setImageKernel(this.#db, present.id, request.kernel);
      options.onProgress?.({ step: "done", message: `Image ${name} is up to date` });
      return this.show(present.id);
    }
    return await this.#make(
      {
        name,
        reference: source.reference,
        digest: source.manifestDigest,
        platform: formatPlatform(source.platform),
        kernel: request.kernel ?? present?.kernel,
        layers: source.layers,
        config: keptConfig(source.config),
      },
      options,
    );
  }

  /** A Debian image made from packages with mmdebstrap, for places with no registry. */
  async bootstrap(request: ImageBootstrap, options: WorkOptions = {}): Promise<Image> {
    const name = request.name ?? `debian-${request.suite}`;
    if (findImage(this.#db, name)?.name === name) {
      throw new BangerError("already_exists", `Cannot make image "${name}": the name is taken`, {
        hint: `Choose another with --name, or remove it: banger image rm ${name}`,
      });
    }
    await using layer = await bootstrapLayer(request, this.#paths.downloads, options);
    return await this.#make(
      {
        name,
        reference: `mmdebstrap:${request.suite}`,
        digest: layer.digest,
        platform: layer.platform,
        kernel: request.kernel,
        layers: [layer],
        config: {
          cmd: ["bash"],
          env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
        },
      },
      options,
    );
  }

  /** `invalid_state` while a machine stands on it. */
  remove(ref: string): void {
    const image = getImage(this.#db, ref);
    const machines = machinesOf(this.#db, image.id);
    if (machines.length > 0) {
      throw new BangerError(
        "invalid_state",
        `Cannot remove image "${image.name}": used by ${machines.join(", ")}`,
        { hint: `Remove the machines first: banger vm rm ${machines.join(" ")}` },
      );
    }
    this.#drop(image);
  }

  /** Removes folders that no row names: what a crash left behind. Gives their paths. */
  sweep(): string[] {
    if (!existsSync(this.#paths.images)) return [];
    const known = new Set(listImages(this.#db).map(({ id }) => id));
    const stray = readdirSync(this.#paths.images)
      .filter((entry) => entry.startsWith(STAGING_MARK) || !known.has(entry))
      .map((entry) => join(this.#paths.images, entry));
    for (const path of stray) rmSync(path, { recursive: true, force: true });
    return stray;
  }

  async #make(recipe: Recipe, options: WorkOptions): Promise<Image> {
    const id = newId();
    const target = this.#paths.image(id).folder;
    const staging = stagingPath(target);
    mkdirSync(staging, { recursive: true, mode: 0o700 });
    try {
      const built = await buildRootfs(recipe.layers, {
        path: join(staging, "rootfs.ext4"),
        seed: recipe.digest,
        ...options,
      });
      renameSync(staging, target);
      this.#adopt({
        id,
        name: recipe.name,
        reference: recipe.reference,
        digest: recipe.digest,
        platform: recipe.platform,
        ...(recipe.kernel ? { kernel: recipe.kernel } : {}),
        size_bytes: built.size_bytes,
        allocated_bytes: built.allocated_bytes,
        layers: recipe.layers.length,
        config: recipe.config,
        createdAt: new Date().toISOString(),
      });
      return this.show(id);
    } catch (error) {
      rmSync(staging, { recursive: true, force: true });
      rmSync(target, { recursive: true, force: true });
      throw error;
    }
  }

  /** Enters a new image; an older one of that name keeps its machines under its digest. */
  #adopt(image: ImageRecord): void {
    const older = listImages(this.#db).find(({ name }) => name === image.name);
    const isUsed = older !== undefined && machinesOf(this.#db, older.id).length > 0;
    this.#db
      .transaction(() => {
        if (older && isUsed) renameImage(this.#db, older.id, `${older.name}-${older.id}`);
        if (older && !isUsed) deleteImage(this.#db, older.id);
        insertImage(this.#db, image);
      })
      .immediate();
    if (older && !isUsed) this.#removeFolder(older.id);
  }

  #drop(image: ImageRecord): void {
    deleteImage(this.#db, image.id);
    this.#removeFolder(image.id);
  }

  #removeFolder(id: string): void {
    rmSync(this.#paths.image(id).folder, { recursive: true, force: true });
  }
}
