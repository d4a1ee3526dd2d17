/**
 * Parses manifests and indexes: OCI image specification 1.1 and Docker's schema 2. Schema 1, which has no config and
 * no content-addressed layers, is rejected.
 */
import { z } from "zod";
import { type Digest, isDigest } from "#base/digest.ts";
import { BangerError } from "#base/error.ts";
import { GiB, MiB } from "#base/size.ts";
import { parseDocument } from "./document.ts";
import {
  bareType,
  configTypes,
  indexTypes,
  isSchema1,
  layerTypes,
  manifestTypes,
} from "./media.ts";
import type { Platform } from "./platform.ts";

export const MAX_MANIFEST_BYTES = 4 * MiB;
export const MAX_CONFIG_BYTES = 8 * MiB;
const MAX_LAYERS = 512;
const MAX_INDEX_ENTRIES = 1000;
const MAX_LAYER_BYTES = 256 * GiB;

export interface Descriptor {
  mediaType: string;
  digest: Digest;
  /** Bytes. */
  size: number;
  platform?: Platform;
  annotations: Record<string, string>;
}

export interface ImageManifest {
  kind: "image";
  config: Descriptor;
  layers: Descriptor[];
}

export interface ImageIndex {
  kind: "index";
  manifests: Descriptor[];
}

const platformSchema = z.object({
  os: z.string().max(64).nullish(),
  architecture: z.string().max(64).nullish(),
  variant: z.string().max(64).nullish(),
});

const descriptorSchema = z.object({
  mediaType: z.string().max(255).nullish(),
  digest: z.string().max(512),
  size: z.number().int().min(0).max(MAX_LAYER_BYTES),
  // Descriptive fields are ignored if malformed.
  platform: platformSchema.nullish().catch(undefined),
  annotations: z.record(z.string(), z.unknown()).nullish().catch(undefined),
});

const documentSchema = z.object({
  schemaVersion: z.number(),
  mediaType: z.string().max(255).nullish(),
  config: descriptorSchema.nullish(),
  layers: z.array(descriptorSchema).max(MAX_LAYERS).nullish(),
  manifests: z.array(z.unknown()).max(MAX_INDEX_ENTRIES).nullish(),
});

const versionSchema = z.object({ schemaVersion: z.number() });

export interface ManifestOptions {
  /** For messages: "the manifest of docker.io/library/debian:bookworm". */
  what: string;
  /** Content-Type of the response, or mediaType of the descriptor; used if the document has no mediaType. */
  mediaType?: string | undefined;
}

/** Throws `integrity` if malformed, `unsupported` for schema 1 and for other artifacts than images. */
export function parseManifest(
  bytes: Uint8Array,
  options: ManifestOptions,
): ImageManifest | ImageIndex {
  const { what } = options;
  const { schemaVersion } = parseDocument(bytes, versionSchema, what);
  if (schemaVersion !== 2 || isSchema1(bareType(options.mediaType ?? ""))) {
    throw new BangerError(
      "unsupported",
      `Cannot use ${what}: obsolete manifest schema ${schemaVersion}`,
      {
        hint: "Push the image again with a current docker, podman or skopeo",
      },
    );
  }
  const document = parseDocument(bytes, documentSchema, what);
  const hasImage = document.config != null || document.layers != null;
  const hasIndex = document.manifests != null;
  // An ambiguous document would be read differently by different tools.
  if (hasImage === hasIndex) {
    throw new BangerError(
      "integrity",
      `Cannot use ${what}: it is ${hasImage ? "both" : "neither"} an image and an index`,
    );
  }
  const mediaType = bareType(document.mediaType ?? options.mediaType ?? "");
  checkType(mediaType, hasIndex ? indexTypes : manifestTypes, what);
  if (document.manifests) {
    return { kind: "index", manifests: usableEntries(document.manifests, what) };
  }
  if (!document.config) throw new BangerError("integrity", `Cannot use ${what}: no config`);
  return {
    kind: "image",
    config: checkConfigType(toDescriptor(document.config, what), what),
    layers: (document.layers ?? []).map((layer) => checkLayerType(toDescriptor(layer, what), what)),
  };
}

/** Skips unusable entries; `integrity` or `unsupported` if none is usable. */
function usableEntries(entries: readonly unknown[], what: string): Descriptor[] {
  const usable: Descriptor[] = [];
  let problem: unknown;
  for (const entry of entries) {
    const parsed = descriptorSchema.safeParse(entry);
    try {
      if (parsed.success) usable.push(toDescriptor(parsed.data, what));
      else problem ??= new BangerError("integrity", `Cannot use ${what}: malformed entry`);
    } catch (error) {
      problem ??= error;
    }
  }
  if (usable.length === 0 && problem !== undefined) throw problem;
  return usable;
}

function checkType(mediaType: string, expected: readonly string[], what: string): void {
  const isGeneric =
    mediaType === "" || mediaType === "application/json" || mediaType === "text/plain";
  if (isGeneric || expected.includes(mediaType)) return;
  throw new BangerError(
    "unsupported",
    `Cannot use ${what}: media type "${mediaType}" does not match its content`,
  );
}

function checkConfigType(config: Descriptor, what: string): Descriptor {
  if (!configTypes.includes(config.mediaType)) {
    throw new BangerError(
      "unsupported",
      `Cannot use ${what}: not an image, but an artifact of type "${config.mediaType}"`,
    );
  }
  if (config.size > MAX_CONFIG_BYTES) {
    throw new BangerError(
      "limit_exceeded",
      `Cannot use ${what}: config too large: ${config.size} bytes`,
    );
  }
  return config;
}

function checkLayerType(layer: Descriptor, what: string): Descriptor {
  if (layerTypes.includes(layer.mediaType)) return layer;
  throw new BangerError(
    "unsupported",
    `Cannot use ${what}: unsupported layer type "${layer.mediaType}"`,
  );
}

function toDescriptor(entry: z.output<typeof descriptorSchema>, what: string): Descriptor {
  const { mediaType, digest, size, platform, annotations } = entry;
  if (!isDigest(digest)) {
    const isOther = /^[a-z0-9]+(?:[+._-][a-z0-9]+)*:[0-9a-f]{32,}$/.test(digest);
    throw new BangerError(
      isOther && !digest.startsWith("sha256:") ? "unsupported" : "integrity",
      `Cannot use ${what}: "${digest.slice(0, 100)}" is not a sha256 digest`,
    );
  }
  const known = platform ? toPlatform(platform) : undefined;
  return {
    mediaType: bareType(mediaType ?? ""),
    digest,
    size,
    annotations: textsOf(annotations ?? {}),
    platform: known,
  };
}

/** Undefined without an architecture; the default OS is Linux. */
function toPlatform(platform: z.output<typeof platformSchema>): Platform | undefined {
  const { os, architecture, variant } = platform;
  if (!architecture) return undefined;
  const named = { os: os || "linux", architecture };
  return variant ? { ...named, variant } : named;
}

function textsOf(annotations: Record<string, unknown>): Record<string, string> {
  const texts = Object.entries(annotations).filter(
    (entry): entry is [string, string] => typeof entry[1] === "string",
  );
  return Object.fromEntries(texts);
}
