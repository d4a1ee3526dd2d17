/** An opened image of any source, and the code that all sources share. */
import { assert } from "#base/assert.ts";
import { type Digest, shortDigest } from "#base/digest.ts";
import { BangerError } from "#base/error.ts";
import type { OnProgress } from "#base/progress.ts";
import { type ImageConfig, parseImageConfig } from "./image-config.ts";
import type { Layer } from "./layer.ts";
import { type Descriptor, type ImageIndex, type ImageManifest, parseManifest } from "./manifest.ts";
import { choosePlatform, formatPlatform, isSameArchitecture, type Platform } from "./platform.ts";

/** Nested indexes are valid, but rare. */
const MAX_INDEX_DEPTH = 3;
/** Limit of index entries without a platform, whose configs are read. */
const MAX_LOOKED_INTO = 16;

export interface OpenedImage extends AsyncDisposable {
  /** Canonical: "docker.io/library/debian:bookworm", "oci:/srv/layout:tag". */
  reference: string;
  /** Of the manifest of this platform; of the config for a docker-archive, which has no manifest. */
  manifestDigest: Digest;
  /** Digest of the index or manifest that the reference resolves to; set for registries only. */
  rootDigest?: Digest;
  platform: Platform;
  config: ImageConfig;
  configDigest: Digest;
  /** Lowest first. */
  layers: Layer[];
  /** Compressed bytes of all layers. */
  totalSize_bytes: number;
}

export interface FoundManifest {
  manifest: ImageManifest;
  digest: Digest;
}

export interface ManifestSource {
  /** "docker.io/library/debian:bookworm"; for messages. */
  name: string;
  platform: Platform;
  /** Reads and verifies a manifest of an index. */
  readManifest(descriptor: Descriptor): Promise<Uint8Array>;
  readConfig(descriptor: Descriptor): Promise<Uint8Array>;
}

/** Resolves indexes to the manifest for the platform. */
export async function findImageManifest(
  root: { bytes: Uint8Array; digest: Digest; mediaType?: string | undefined },
  source: ManifestSource,
): Promise<FoundManifest> {
  const { bytes, digest, mediaType } = root;
  const parsed = parseManifest(bytes, { what: `the manifest of ${source.name}`, mediaType });
  return parsed.kind === "image" ? { manifest: parsed, digest } : findInIndex(parsed, source);
}

/** The manifest for the platform, from a parsed index. `unsupported` lists the available platforms. */
export async function findInIndex(
  index: ImageIndex,
  source: ManifestSource,
  depth = 1,
): Promise<FoundManifest> {
  if (depth > MAX_INDEX_DEPTH) {
    throw new BangerError(
      "limit_exceeded",
      `Cannot use the manifest of ${source.name}: nested too deeply`,
    );
  }
  const candidates = index.manifests.filter((entry) => !isAttestation(entry));
  const only = candidates.length === 1 ? candidates[0] : undefined;
  const chosen = only && !only.platform ? only : choosePlatform(source.platform, candidates);
  if (chosen) return await openEntry(chosen, source, depth);
  const offered = candidates.flatMap(({ platform }) =>
    platform ? [formatPlatform(platform)] : [],
  );
  const unnamed = candidates.filter(({ platform }) => !platform).slice(0, MAX_LOOKED_INTO);
  let problem: unknown;
  for (const entry of unnamed) {
    try {
      const found = await openEntry(entry, source, depth);
      const platform = await platformOf(found.manifest, source);
      if (choosePlatform(source.platform, [{ platform }])) return found;
      if (platform) offered.push(formatPlatform(platform));
    } catch (error) {
      if (error instanceof BangerError && error.code === "cancelled") throw error;
      problem ??= error;
    }
  }
  if (offered.length === 0 && problem !== undefined) throw problem;
  throw missingPlatform(source, [...new Set(offered)]);
}

async function openEntry(
  entry: Descriptor,
  source: ManifestSource,
  depth: number,
): Promise<FoundManifest> {
  const bytes = await source.readManifest(entry);
  const what = `the manifest of ${source.name}`;
  const parsed = parseManifest(bytes, { what, mediaType: entry.mediaType });
  if (parsed.kind === "image") return { manifest: parsed, digest: entry.digest };
  return await findInIndex(parsed, source, depth + 1);
}

async function platformOf(
  { config, layers }: ImageManifest,
  source: ManifestSource,
): Promise<Platform | undefined> {
  const what = `the config of ${source.name}`;
  const bytes = await source.readConfig(config);
  return parseImageConfig(bytes, { what, layerCount: layers.length }).platform;
}

/** Attestations, which buildx adds to an index. */
function isAttestation({ annotations, platform }: Descriptor): boolean {
  return (
    annotations["vnd.docker.reference.type"] === "attestation-manifest" ||
    (platform?.os === "unknown" && platform.architecture === "unknown")
  );
}

/** The platform from the image's config, which takes precedence. Throws `unsupported` for the wrong platform. */
export function checkPlatform(
  config: ImageConfig,
  wanted: { name: string; platform: Platform },
): Platform {
  if (!config.platform) return wanted.platform;
  if (isSameArchitecture(config.platform, wanted.platform)) return config.platform;
  throw missingPlatform(wanted, [formatPlatform(config.platform)]);
}

function missingPlatform(
  wanted: { name: string; platform: Platform },
  offered: string[],
): BangerError {
  const list = offered.slice(0, 20).join(", ") || "none";
  return new BangerError(
    "unsupported",
    `Cannot use ${wanted.name} on ${formatPlatform(wanted.platform)}: available platforms are ${list}`,
    { hint: offered[0] && `Select a platform with: --platform ${offered[0]}` },
  );
}

/** Joins descriptors and diff ids; the parsers have checked that their numbers match. */
export function toLayers(
  descriptors: readonly Descriptor[],
  options: {
    diffIds: readonly Digest[];
    open: (layer: Descriptor, signal: AbortSignal | undefined) => AsyncIterable<Uint8Array>;
  },
): Layer[] {
  return descriptors.map((descriptor, index) => {
    const diffId = options.diffIds[index];
    assert(diffId, "each layer has a diff id");
    const { digest, size, mediaType } = descriptor;
    return {
      digest,
      diffId,
      size,
      mediaType,
      compressed: (signal) => options.open(descriptor, signal),
    };
  });
}

export function totalSizeOf(layers: readonly Layer[]): number {
  return layers.reduce((sum, { size }) => sum + size, 0);
}

/** Reports the progress of one layer. */
export function layerProgress(
  onProgress: OnProgress | undefined,
  options: { verb: string; digest: Digest; size: number },
): ((done_bytes: number) => void) | undefined {
  if (!onProgress) return undefined;
  const { verb, digest, size: total } = options;
  const short = shortDigest(digest);
  return (done) =>
    onProgress({
      step: `layer ${short}`,
      message: `${verb} ${short}`,
      done,
      total,
      unit: "bytes",
    });
}

/** Passes the bytes through and reports their number. */
export async function* countBytes(
  stream: AsyncIterable<Uint8Array>,
  onAdvance: ((done_bytes: number) => void) | undefined,
): AsyncGenerator<Uint8Array> {
  let done = 0;
  onAdvance?.(done);
  for await (const chunk of stream) {
    done += chunk.length;
    onAdvance?.(done);
    yield chunk;
  }
}

/** Aborts when either does. */
export function anySignal<T extends AbortSignal | undefined>(
  signal: T,
  other: AbortSignal | undefined,
): T | AbortSignal {
  return signal && other ? AbortSignal.any([signal, other]) : (signal ?? other ?? signal);
}
