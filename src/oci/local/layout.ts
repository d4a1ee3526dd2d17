/** Reads OCI image layouts (image-layout.md 1.1), in a directory or a tar. */
import { z } from "zod";
import { type Digest, hexOf } from "#base/digest.ts";
import { BangerError } from "#base/error.ts";
import type { OnProgress } from "#base/progress.ts";
import { didYouMean } from "#base/similar.ts";
import { KiB } from "#base/size.ts";
import { verified, verifyBytes } from "#blobs/verify.ts";
import { parseDocument } from "#oci/document.ts";
import {
  anySignal,
  checkPlatform,
  countBytes,
  findInIndex,
  layerProgress,
  type OpenedImage,
  toLayers,
  totalSizeOf,
} from "#oci/image.ts";
import { parseImageConfig } from "#oci/image-config.ts";
import {
  type Descriptor,
  type ImageIndex,
  MAX_CONFIG_BYTES,
  MAX_MANIFEST_BYTES,
  parseManifest,
} from "#oci/manifest.ts";
import type { Platform } from "#oci/platform.ts";
import { canonicalOrEmpty } from "#oci/reference.ts";
import { type FileTree, readFileOf } from "./file-tree.ts";

const MAX_LAYOUT_BYTES = 4 * KiB;

const REF_NAME = "org.opencontainers.image.ref.name";
const CONTAINERD_NAME = "io.containerd.image.name";

const layoutSchema = z.object({ imageLayoutVersion: z.string() });

export interface LocalOptions {
  /** Canonical text of the location. */
  reference: string;
  /** Selects one of several images. */
  name: string | undefined;
  platform: Platform;
  signal?: AbortSignal | undefined;
  onProgress?: OnProgress | undefined;
}

export async function openLayout(tree: FileTree, options: LocalOptions): Promise<OpenedImage> {
  const { reference, platform, signal, onProgress } = options;
  await checkVersion(tree);
  const index = await chooseEntries(tree, options.name);
  const { manifest, digest } = await findInIndex(index, {
    name: reference,
    platform,
    readManifest: (descriptor) => readBlob(tree, descriptor, MAX_MANIFEST_BYTES),
    readConfig: (descriptor) => readBlob(tree, descriptor, MAX_CONFIG_BYTES),
  });
  const config = parseImageConfig(await readBlob(tree, manifest.config, MAX_CONFIG_BYTES), {
    what: `the config of ${reference}`,
    layerCount: manifest.layers.length,
  });
  const layers = toLayers(manifest.layers, {
    diffIds: config.diffIds,
    open(layer, layerSignal) {
      const onAdvance = layerProgress(onProgress, { verb: "Reading", ...layer });
      const stream = tree.stream(blobName(layer.digest), {
        signal: anySignal(signal, layerSignal),
      });
      return countBytes(verified(stream, layer), onAdvance);
    },
  });
  await checkBlobs(tree, manifest.layers);
  return {
    reference,
    manifestDigest: digest,
    platform: checkPlatform(config, { name: reference, platform }),
    config,
    configDigest: manifest.config.digest,
    layers,
    totalSize_bytes: totalSizeOf(layers),
    async [Symbol.asyncDispose]() {},
  };
}

async function checkVersion(tree: FileTree): Promise<void> {
  if ((await tree.size("oci-layout")) === undefined) {
    throw new BangerError("invalid_argument", `Cannot open ${tree.what}: not an OCI image layout`, {
      hint: 'A layout contains "oci-layout", "index.json" and "blobs"; for the output of docker save, use docker-archive:FILE',
    });
  }
  const bytes = await readFileOf(tree, "oci-layout", MAX_LAYOUT_BYTES);
  const version = parseDocument(bytes, layoutSchema, `"oci-layout" of ${tree.what}`);
  if (version.imageLayoutVersion.startsWith("1.")) return;
  throw new BangerError(
    "unsupported",
    `Cannot open ${tree.what}: unsupported layout version "${version.imageLayoutVersion.slice(0, 20)}"`,
  );
}

/** The entries of index.json for the selected image: one, or one per platform. */
async function chooseEntries(tree: FileTree, name: string | undefined): Promise<ImageIndex> {
  const bytes = await readFileOf(tree, "index.json", MAX_MANIFEST_BYTES);
  const index = parseManifest(bytes, { what: `"index.json" of ${tree.what}` });
  if (index.kind !== "index") {
    throw new BangerError(
      "integrity",
      `Cannot open ${tree.what}: "index.json" is not an image index`,
    );
  }
  const names = [...new Set(index.manifests.flatMap(namesOf))];
  const manifests =
    name === undefined ? index.manifests : index.manifests.filter((entry) => isNamed(entry, name));
  if (manifests.length === 0) {
    const wanted = name === undefined ? "an image" : `image "${name}"`;
    throw new BangerError("not_found", `Cannot find ${wanted} in ${tree.what}`, {
      hint: didYouMean(name ?? "", names, listOf(names)),
    });
  }
  const isOneImage = new Set(manifests.map((entry) => namesOf(entry).join("\n"))).size === 1;
  if (isOneImage) return { kind: "index", manifests };
  throw new BangerError(
    "invalid_argument",
    `Cannot select an image in ${tree.what}: more than one image`,
    { hint: `Append the name to the path. ${listOf(names)}` },
  );
}

function namesOf({ annotations }: Descriptor): string[] {
  return [annotations[REF_NAME], annotations[CONTAINERD_NAME]].filter((name) => name !== undefined);
}

/** By the exact name, or by the canonical reference. */
function isNamed(entry: Descriptor, name: string): boolean {
  const wanted = canonicalOrEmpty(name);
  return namesOf(entry).some(
    (each) => each === name || (wanted !== "" && canonicalOrEmpty(each) === wanted),
  );
}

function listOf(names: readonly string[]): string | undefined {
  if (names.length === 0) return undefined;
  return `It holds ${names
    .slice(0, 20)
    .map((name) => `"${name}"`)
    .join(", ")}`;
}

/** Reports missing or truncated blobs before the first layer is unpacked. */
async function checkBlobs(tree: FileTree, layers: readonly Descriptor[]): Promise<void> {
  for (const { digest, size } of layers) {
    const actual = await tree.size(blobName(digest));
    if (actual === size) continue;
    throw new BangerError(
      "integrity",
      `Cannot use ${tree.what}: blob ${digest} ${actual === undefined ? "is missing" : `has ${actual} bytes instead of ${size}`}`,
    );
  }
}

async function readBlob(
  tree: FileTree,
  descriptor: Descriptor,
  max_bytes: number,
): Promise<Uint8Array> {
  const bytes = await readFileOf(tree, blobName(descriptor.digest), max_bytes);
  verifyBytes(bytes, descriptor);
  return bytes;
}

function blobName(digest: Digest): string {
  return `blobs/sha256/${hexOf(digest)}`;
}
