/** Checks whether a registry has a newer image under an image's reference. */
import type { ImageOutdated } from "#api/image.ts";
import { messageOf } from "#base/error.ts";
import { parseLocation } from "#oci/location.ts";
import { canonicalName, type Reference } from "#oci/reference.ts";
import { openRepository, type RegistryOptions } from "#oci/registry/client.ts";
import { type OpenOptions, openImage } from "#oci/source.ts";
import { type ImageRecord, patchImage } from "./records.ts";
import type { ImageStore } from "./store.ts";

/** Undefined for images from files, packages or another engine. */
export function registryReference(image: ImageRecord): Reference | undefined {
  if (!image.managed || image.layers.length === 0) return undefined;
  try {
    const location = parseLocation(image.reference);
    const isSame =
      location.kind === "registry" && canonicalName(location.reference) === image.reference;
    return isSame ? location.reference : undefined;
  } catch {
    return undefined;
  }
}

/** One HEAD request if the tag is unchanged. Throws `cancelled` only. */
export async function checkOutdated(
  store: ImageStore,
  image: ImageRecord,
  options: RegistryOptions & Pick<OpenOptions, "cacheDir"> & { signal?: AbortSignal | undefined },
): Promise<ImageOutdated> {
  const { name, digest, reference } = image;
  const parsed = registryReference(image);
  if (!parsed) return { name, reference, digest, state: "local" };
  if (parsed.digest) return { name, reference, digest, state: "pinned", latest: digest };
  const signal = options.signal ?? new AbortController().signal;
  try {
    const head = await openRepository(parsed, options).headManifest(parsed.tag ?? "latest", signal);
    if (head !== undefined && (head === image.digest || head === image.rootDigest)) {
      return { name, reference, digest, state: "current", latest: digest };
    }
    // The index may have changed without the manifest of this platform.
    using held = await store.blobs.hold(
      () => openImage(reference, { ...options, platform: image.platform }),
      { digestsOf: (opened) => [opened.manifestDigest], signal },
    );
    await using opened = held.value;
    const latest = opened.manifestDigest;
    if (latest !== digest) return { name, reference, digest, state: "outdated", latest };
    const { rootDigest } = opened;
    if (rootDigest) patchImage(store.db, image.id, { rootDigest });
    return { name, reference, digest, state: "current", latest };
  } catch (error) {
    if (options.signal?.aborted) throw error;
    return { name, reference, digest, state: "unknown", problem: messageOf(error) };
  }
}
