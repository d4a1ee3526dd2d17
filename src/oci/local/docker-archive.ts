/**
 * Reads archives of `docker save` and `podman save`: "manifest.json" has the paths of config and layers, such as
 * "<id>/layer.tar" or "blobs/sha256/<hex>". Layers are usually plain tars, of some tools compressed.
 */
import { createHash } from "node:crypto";
import { z } from "zod";
import { assert } from "#base/assert.ts";
import { COMPRESSION_HEAD_BYTES, compressionOf } from "#base/compression.ts";
import { type Digest, sha256 } from "#base/digest.ts";
import { BangerError } from "#base/error.ts";
import { didYouMean } from "#base/similar.ts";
import { verified } from "#blobs/verify.ts";
import { parseDocument } from "#oci/document.ts";
import {
  anySignal,
  checkPlatform,
  countBytes,
  layerProgress,
  type OpenedImage,
  toLayers,
  totalSizeOf,
} from "#oci/image.ts";
import { parseImageConfig } from "#oci/image-config.ts";
import { type Descriptor, MAX_CONFIG_BYTES, MAX_MANIFEST_BYTES } from "#oci/manifest.ts";
import { DOCKER_LAYER } from "#oci/media.ts";
import { canonicalName, canonicalOrEmpty, parseReference } from "#oci/reference.ts";
import { type FileTree, readFileOf } from "./file-tree.ts";
import type { LocalOptions } from "./layout.ts";

const MAX_IMAGES = 1000;
const MAX_LAYERS = 512;

const imageSchema = z.object({
  Config: z.string().max(4096),
  RepoTags: z.array(z.string().max(1024)).max(1000).nullish(),
  Layers: z.array(z.string().max(4096)).max(MAX_LAYERS).nullish(),
});

type ArchivedImage = z.output<typeof imageSchema>;

export async function openDockerArchive(
  tree: FileTree,
  options: LocalOptions,
): Promise<OpenedImage> {
  const { reference, platform, signal, onProgress } = options;
  const image = chooseImage(tree, { images: await readImages(tree), name: options.name });
  const names = image.Layers ?? [];
  const configBytes = await readFileOf(tree, image.Config, MAX_CONFIG_BYTES);
  const what = `the config of ${reference}`;
  const config = parseImageConfig(configBytes, { what, layerCount: names.length });
  const isRightPlatform = checkPlatform(config, { name: reference, platform });
  const places = new Map<Descriptor, string>();
  for (const [index, name] of names.entries()) {
    const diffId = config.diffIds[index];
    assert(diffId, "each layer has a diff id");
    places.set(await describeLayer(tree, { name, diffId, signal }), name);
  }
  const layers = toLayers([...places.keys()], {
    diffIds: config.diffIds,
    open(layer, layerSignal) {
      const onAdvance = layerProgress(onProgress, { verb: "Reading", ...layer });
      const stream = tree.stream(places.get(layer) ?? "", {
        signal: anySignal(signal, layerSignal),
      });
      return countBytes(verified(stream, layer), onAdvance);
    },
  });
  const configDigest = sha256(configBytes);
  return {
    reference,
    manifestDigest: configDigest,
    platform: isRightPlatform,
    config,
    configDigest,
    layers,
    totalSize_bytes: totalSizeOf(layers),
    async [Symbol.asyncDispose]() {},
  };
}

async function readImages(tree: FileTree): Promise<ArchivedImage[]> {
  if ((await tree.size("manifest.json")) === undefined) {
    throw new BangerError(
      "invalid_argument",
      `Cannot open ${tree.what}: no "manifest.json" in it`,
      { hint: "Create the archive with docker save or podman save" },
    );
  }
  const bytes = await readFileOf(tree, "manifest.json", MAX_MANIFEST_BYTES);
  return parseDocument(
    bytes,
    z.array(imageSchema).max(MAX_IMAGES),
    `"manifest.json" of ${tree.what}`,
  );
}

/** By "@N", by reference, or the only one. */
function chooseImage(
  tree: FileTree,
  { images, name }: { images: ArchivedImage[]; name: string | undefined },
): ArchivedImage {
  const tags = images.flatMap((image) => image.RepoTags ?? []);
  const list = tags.length > 0 ? `It contains ${tags.slice(0, 20).join(", ")}` : undefined;
  const number = /^@(\d{1,4})$/.exec(name ?? "")?.[1];
  const found =
    number !== undefined
      ? images.slice(Number(number), Number(number) + 1)
      : images.filter((image) => name === undefined || isTagged(image, name));
  const [first, second] = found;
  if (first && !second) return first;
  if (first) {
    throw new BangerError(
      "invalid_argument",
      `Cannot select an image in ${tree.what}: more than one image`,
      {
        hint: `Append the reference to the path, or "@0" for the first. ${list ?? ""}`.trim(),
      },
    );
  }
  const wanted = name === undefined ? "an image" : `image "${name}"`;
  throw new BangerError("not_found", `Cannot find ${wanted} in ${tree.what}`, {
    hint: didYouMean(name ?? "", tags, list),
  });
}

function isTagged(image: ArchivedImage, name: string): boolean {
  const wanted = canonicalName(parseReference(name));
  return (image.RepoTags ?? []).some((tag) => tag === name || canonicalOrEmpty(tag) === wanted);
}

/** The digest of a plain tar is its diff id; that of a compressed one must be computed. */
async function describeLayer(
  tree: FileTree,
  options: { name: string; diffId: Digest; signal: AbortSignal | undefined },
): Promise<Descriptor> {
  const { name, diffId, signal } = options;
  const size = await tree.size(name);
  if (size === undefined) {
    throw new BangerError("integrity", `Cannot use ${tree.what}: layer "${name}" is missing`);
  }
  const suffix = await suffixOf(tree, name);
  const digest = suffix === "" ? diffId : await hashOf(tree.stream(name, { signal }));
  return { mediaType: `${DOCKER_LAYER}${suffix}`, digest, size, annotations: {} };
}

async function suffixOf(tree: FileTree, name: string): Promise<"" | ".gzip" | ".zstd"> {
  const stream = tree.stream(name, { max_bytes: COMPRESSION_HEAD_BYTES });
  const kind = compressionOf(Buffer.concat(await Array.fromAsync(stream)));
  return kind === "gzip" || kind === "zstd" ? `.${kind}` : "";
}

async function hashOf(stream: AsyncIterable<Uint8Array>): Promise<Digest> {
  const hash = createHash("sha256");
  for await (const chunk of stream) hash.update(chunk);
  return `sha256:${hash.digest("hex")}` as Digest;
}
