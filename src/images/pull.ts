/** Pulls an image by reference or by catalog name; what is present already is not downloaded again. */

import { join } from "node:path";
import type { ImageBuild, ImagePull } from "#api/image.ts";
import type { Digest } from "#base/digest.ts";
import { BangerError } from "#base/error.ts";
import type { WorkOptions } from "#base/progress.ts";
import { didYouMean } from "#base/similar.ts";
import { fetchHttpFile } from "#blobs/http-file.ts";
import { buildRootfs } from "#images/rootfs/write.ts";
import type { OpenedImage } from "#oci/image.ts";
import { formatLocation, parseLocation } from "#oci/location.ts";
import { formatPlatform, hostPlatform, parsePlatform } from "#oci/platform.ts";
import { canonicalOrEmpty } from "#oci/reference.ts";
import type { RegistryOptions } from "#oci/registry/client.ts";
import { openImage } from "#oci/source.ts";
import { architectures, type CatalogImage, findInCatalog, loadCatalog } from "./catalog.ts";
import { removePartials } from "./gc.ts";
import { toImageConfig } from "./image-config.ts";
import { readRecipe } from "./recipes.ts";
import {
  findImage,
  type ImageRecord,
  listImages,
  nameFromReference,
  patchImage,
  ROOTFS_NAME,
} from "./records.ts";
import type { ImageStore, MadeImage } from "./store.ts";

export interface PullOptions extends WorkOptions, RegistryOptions {
  /** Pulls the kernel of a catalog entry, if it is missing. */
  ensureKernel: (name: string, work: WorkOptions) => Promise<void>;
  /** Builds the image of a catalog entry whose source is a recipe. */
  build: (request: ImageBuild, work: WorkOptions) => Promise<ImageRecord>;
}

/** The source and name of the image to pull. */
interface PullTarget {
  /** For `openImage`. */
  location: string;
  /** The reference to record. Default: that of `openImage`. */
  reference?: string;
  name: string;
  kernel: string | undefined;
  platform: string | undefined;
  force: boolean;
}

export async function pullImage(
  store: ImageStore,
  request: ImagePull,
  options: PullOptions,
): Promise<ImageRecord> {
  const entry = catalogEntryOf(store, request);
  const platform = request.platform;
  const force = request.force ?? false;
  if (!entry) {
    const { reference, kernel } = request;
    const name = request.name ?? nameFromReference(formatLocation(parseLocation(reference)));
    try {
      return await pullFrom(store, { location: reference, name, kernel, platform, force }, options);
    } catch (error) {
      throw explainFailure(error, { reference, known: knownNames(store) });
    }
  }
  const name = request.name ?? entry.name;
  const kernel = request.kernel ?? entry.kernel;
  const { source } = entry;
  if (source.kind === "recipe") assertBuildsHere(name, request.platform);
  if (!request.kernel && entry.kernel) await options.ensureKernel(entry.kernel, options);
  if (source.kind === "recipe") {
    const dockerfile = readRecipe(source.recipe);
    const present = findImage(store.db, name);
    if (present?.name === name && !force) return present;
    return await options.build({ name, dockerfile, kernel }, options);
  }
  const wanted = { name, kernel, platform, force };
  if (source.kind === "registry") {
    try {
      return await pullFrom(store, { ...wanted, location: source.reference }, options);
    } catch (error) {
      throw explainFailure(error, { reference: source.reference, known: [] });
    }
  }
  return await store.withScratch(store.paths.downloads, "image-bundle.tar", async (path) => {
    const { url, size_bytes } = source;
    const sha256 = source.sha256 as Digest;
    using _ = await store.blobs.hold(async () => {}, { digestsOf: () => [sha256], ...options });
    const message = `Downloading ${new URL(url).pathname.split("/").at(-1)}`;
    await fetchHttpFile(
      { url, sha256, size_bytes },
      {
        ...options,
        path,
        cache: store.paths.blobs,
        onAdvance: (done) =>
          options.onProgress?.({ step: "bundle", message, done, total: size_bytes, unit: "bytes" }),
      },
    );
    const location = `oci-archive:${path}`;
    return await pullFrom(store, { ...wanted, location, reference: source.url }, options);
  });
}

/** Names of existing images, and all names and aliases of the catalog. */
function knownNames(store: ImageStore): string[] {
  const { architecture } = hostPlatform();
  const entries = loadCatalog(store.paths.imageCatalog, architecture);
  const named = entries.flatMap(({ name, aliases }) => [name, ...aliases]);
  return [...new Set([...listImages(store.db).map(({ name }) => name), ...named])];
}

/** Adds the image's name to an error that names only a server, and suggestions for a name without a registry. */
function explainFailure(
  error: unknown,
  { reference, known }: { reference: string; known: readonly string[] },
): unknown {
  if (!(error instanceof BangerError)) return error;
  if (!["unavailable", "not_found", "unauthorized", "timeout"].includes(error.code)) return error;
  const { code, message, hint, cause } = error;
  const name = canonicalOrEmpty(reference);
  const why = message.replace(/^Cannot reach (the proxy )?/, "cannot reach $1");
  // A name with a slash has a registry or an owner, so it is not a mistyped local name.
  const isBare = name !== "" && known.length > 0 && !reference.includes("/");
  if (!isBare) {
    if (name === "" || message.includes(name)) return error;
    return new BangerError(code, `Cannot pull ${name}: ${why}`, { hint, cause });
  }
  const [bare = ""] = reference.split(/[:@]/);
  return new BangerError(
    code,
    `no such image "${reference}", not in the catalog either; ${message.includes(name) ? why : `as ${name}: ${why}`}`,
    { hint: didYouMean(bare, known, hint), cause },
  );
}

/** The catalog entry of a bare name. `unsupported` if it exists for another architecture only. */
function catalogEntryOf(
  store: ImageStore,
  request: Pick<ImagePull, "reference" | "platform">,
): CatalogImage | undefined {
  if (/[/:@]/.test(request.reference)) return undefined;
  const { architecture } = request.platform ? parsePlatform(request.platform) : hostPlatform();
  const { reference } = request;
  const entryFor = (arch: string) =>
    findInCatalog(loadCatalog(store.paths.imageCatalog, arch), reference);
  const entry = entryFor(architecture);
  const other = entry ?? architectures.map(entryFor).find(Boolean);
  if (entry || !other) return entry;
  const { source, arch } = other;
  throw new BangerError(
    "unsupported",
    `Cannot pull image "${reference}" for ${architecture}: available only for ${arch.join(", ")}`,
    {
      hint:
        source.kind === "registry"
          ? `Pull it by reference, without a kernel: banger image pull ${source.reference}`
          : "List available images with: banger image list --available",
    },
  );
}

async function pullFrom(
  store: ImageStore,
  wanted: PullTarget,
  options: PullOptions,
): Promise<ImageRecord> {
  const { signal } = options;
  let digests: readonly string[] = [];
  try {
    return await store.withScratch(store.paths.downloads, "image-export", async (scratchDir) => {
      using held = await store.blobs.hold(
        () =>
          openImage(wanted.location, {
            ...options,
            cacheDir: store.paths.blobs,
            scratchDir,
            platform: wanted.platform,
          }),
        { digestsOf, signal },
      );
      await using source = held.value;
      digests = digestsOf(source);
      return await store.inTurn(
        wanted.name,
        async () => {
          const present = upToDate(store, wanted, source);
          if (!present) return await make(store, wanted, source, options);
          options.onProgress?.({ step: "done", message: `Image ${present.name} is up to date` });
          return present;
        },
        signal,
      );
    });
  } catch (error) {
    // Partial downloads are kept for the next attempt, unless the disk is full.
    if (error instanceof BangerError && error.code === "no_space") removePartials(store, digests);
    throw error;
  }
}

function digestsOf(source: OpenedImage): string[] {
  return [source.manifestDigest, source.configDigest, ...source.layers.map(({ digest }) => digest)];
}

/** The existing image, if it is up to date with the source. */
function upToDate(
  store: ImageStore,
  wanted: PullTarget,
  source: OpenedImage,
): ImageRecord | undefined {
  const present = findImage(store.db, wanted.name);
  const isCurrent =
    present?.name === wanted.name && present.managed && present.digest === source.manifestDigest;
  if (!present || !isCurrent || wanted.force) return undefined;
  patchImage(store.db, present.id, {
    kernel: wanted.kernel ?? present.kernel,
    rootDigest: source.rootDigest ?? present.rootDigest,
  });
  return findImage(store.db, present.id);
}

async function make(
  store: ImageStore,
  wanted: PullTarget,
  source: OpenedImage,
  options: WorkOptions,
): Promise<ImageRecord> {
  const present = findImage(store.db, wanted.name);
  const kernel = wanted.kernel ?? (present?.name === wanted.name ? present.kernel : undefined);
  return await store.create(wanted.name, async (folder): Promise<MadeImage> => {
    const built = await buildRootfs(source.layers, {
      path: join(folder, ROOTFS_NAME),
      seed: source.manifestDigest,
      ...options,
    });
    const { config, rootDigest } = source;
    return {
      reference: wanted.reference ?? source.reference,
      digest: source.manifestDigest,
      rootDigest,
      configDigest: source.configDigest,
      platform: formatPlatform(source.platform),
      kernel,
      size_bytes: built.size_bytes,
      allocated_bytes: built.allocated_bytes,
      layers: source.layers.map(({ digest, diffId, size, mediaType }) => ({
        digest,
        diffId,
        size_bytes: size,
        mediaType,
      })),
      config: toImageConfig(config),
      history: config.history,
      builtAt: config.created,
    };
  });
}

function assertBuildsHere(name: string, platform: string | undefined): void {
  const own = formatPlatform(hostPlatform());
  if (!platform || formatPlatform(parsePlatform(platform)) === own) return;
  throw new BangerError(
    "unsupported",
    `Cannot build image "${name}" for ${platform}: its recipe can only run on ${own}`,
  );
}
