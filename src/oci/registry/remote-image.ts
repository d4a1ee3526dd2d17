/** Opens an image in a registry, through the blob cache. */
import type { Digest } from "#base/digest.ts";
import { BangerError } from "#base/error.ts";
import type { OnProgress } from "#base/progress.ts";
import { BlobStore, type StreamOptions } from "#blobs/blobs.ts";
import {
  anySignal,
  checkPlatform,
  findImageManifest,
  layerProgress,
  type OpenedImage,
  toLayers,
  totalSizeOf,
} from "#oci/image.ts";
import { parseImageConfig } from "#oci/image-config.ts";
import { type Descriptor, MAX_CONFIG_BYTES, MAX_MANIFEST_BYTES } from "#oci/manifest.ts";
import type { Platform } from "#oci/platform.ts";
import { canonicalName, type Reference } from "#oci/reference.ts";
import { openRepository, type RegistryOptions, type Repository } from "./client.ts";

/** Number of parallel downloads, besides the layer being read. */
const PREFETCH_MAX = 3;

export interface RemoteOptions extends RegistryOptions {
  platform: Platform;
  /** Directory of the blob cache. */
  cacheDir: string;
  signal?: AbortSignal | undefined;
  onProgress?: OnProgress | undefined;
}

export async function openRemoteImage(
  reference: Reference,
  options: RemoteOptions,
): Promise<OpenedImage> {
  const name = canonicalName(reference);
  const { platform } = options;
  const repository = openRepository(reference, options);
  const store = new BlobStore(options.cacheDir);
  const closing = new AbortController();
  const signal = anySignal(closing.signal, options.signal);
  const access = { repository, store, signal };
  const root = await readRoot(reference, access);
  const stream = { source: repository, retryDelay_ms: options.retryDelay_ms };
  const readConfig = (config: Descriptor) => readSmall(config, { store, signal, ...stream });
  const { manifest, digest } = await findImageManifest(root, {
    name,
    platform,
    readManifest: async ({ digest }) => (await readManifest(digest, access)).bytes,
    readConfig,
  });
  const configBytes = await readConfig(manifest.config);
  const what = `the config of ${name}`;
  const config = parseImageConfig(configBytes, { what, layerCount: manifest.layers.length });
  function streamOptions(layer: Descriptor, layerSignal: AbortSignal | undefined): StreamOptions {
    return {
      ...stream,
      signal: anySignal(signal, layerSignal),
      onAdvance: layerProgress(options.onProgress, { verb: "Downloading", ...layer }),
    };
  }
  const prefetch = prefetcher(manifest.layers, (layer) =>
    store.prefetch(layer, streamOptions(layer, undefined)),
  );
  const layers = toLayers(manifest.layers, {
    diffIds: config.diffIds,
    async *open(layer, layerSignal) {
      prefetch.start();
      yield* store.stream(layer, streamOptions(layer, layerSignal));
    },
  });
  return {
    reference: name,
    manifestDigest: digest,
    rootDigest: root.digest,
    platform: checkPlatform(config, { name, platform }),
    config,
    configDigest: manifest.config.digest,
    layers,
    totalSize_bytes: totalSizeOf(layers),
    async [Symbol.asyncDispose]() {
      closing.abort(new BangerError("cancelled", `${name} is closed`));
      await prefetch.ended();
    },
  };
}

interface ManifestAccess {
  repository: Repository;
  store: BlobStore;
  signal: AbortSignal;
}

interface RootManifest {
  bytes: Uint8Array;
  digest: Digest;
  mediaType?: string;
}

/** Resolves a tag at the registry; its manifest may come from the cache. */
async function readRoot(reference: Reference, access: ManifestAccess): Promise<RootManifest> {
  if (reference.digest) return readManifest(reference.digest, access);
  const tag = reference.tag ?? "latest";
  const current = await access.repository.headManifest(tag, access.signal);
  const cached = current && (await access.store.readBytes(current, MAX_MANIFEST_BYTES));
  if (cached) return { bytes: cached, digest: current };
  return keep(await access.repository.getManifest(tag, access.signal), access.store);
}

async function readManifest(digest: Digest, access: ManifestAccess): Promise<RootManifest> {
  const cached = await access.store.readBytes(digest, MAX_MANIFEST_BYTES);
  if (cached) return { bytes: cached, digest };
  return keep(await access.repository.getManifest(digest, access.signal), access.store);
}

function keep<T extends { bytes: Uint8Array }>(manifest: T, store: BlobStore): T {
  store.writeBytes(manifest.bytes);
  return manifest;
}

async function readSmall(
  descriptor: Descriptor,
  options: StreamOptions & { store: BlobStore },
): Promise<Uint8Array> {
  const chunks = await Array.fromAsync(options.store.stream(descriptor, options));
  const bytes = Buffer.concat(chunks);
  if (bytes.length <= MAX_CONFIG_BYTES) return bytes;
  throw new BangerError("limit_exceeded", `image config too large: ${bytes.length} bytes`);
}

/** Prefetches the layers in order, a few in parallel, once the first one is read. */
function prefetcher(
  layers: readonly Descriptor[],
  fetch: (layer: Descriptor) => Promise<void>,
): { start: () => void; ended: () => Promise<void> } {
  const queue = [...layers];
  let workers: Promise<void>[] | undefined;

  async function work(): Promise<void> {
    for (let layer = queue.shift(); layer; layer = queue.shift()) {
      try {
        await fetch(layer);
      } catch {
        // The reader of this layer gets the error; the remaining layers are not needed then.
        queue.length = 0;
      }
    }
  }

  return {
    start() {
      workers ??= Array.from({ length: PREFETCH_MAX }, work);
    },
    async ended() {
      await Promise.all(workers ?? []);
    },
  };
}
