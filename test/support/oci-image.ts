/** Builds small images in memory, and puts them into a registry, a layout or an archive. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { pack } from "tar-stream";
import { type Digest, hexOf, sha256 } from "#base/digest.ts";

export interface Part {
  mediaType: string;
  digest: Digest;
  bytes: Uint8Array;
}

export interface MadeImage {
  manifest: Part;
  config: Part;
  /** As stored, gzip. */
  layers: Part[];
  /** The same, unpacked. */
  tars: Uint8Array[];
  platform: { os: string; architecture: string };
}

export interface ImageOptions {
  /** One layer each: file name → content. */
  layers?: Record<string, string | Uint8Array>[];
  architecture?: string;
  /** `config` of the image config, in Docker's words. */
  config?: Record<string, unknown>;
  /** Changes the manifest before it is hashed, to make it wrong. */
  spoil?: (manifest: Record<string, unknown>) => void;
}

const INDEX = "application/vnd.oci.image.index.v1+json";
const MANIFEST = "application/vnd.oci.image.manifest.v1+json";

export async function makeImage(options: ImageOptions = {}): Promise<MadeImage> {
  const platform = { os: "linux", architecture: options.architecture ?? "amd64" };
  const tars = await Promise.all((options.layers ?? [{ hello: "world" }]).map(makeTar));
  const layers = tars.map((tar) =>
    part("application/vnd.oci.image.layer.v1.tar+gzip", gzipSync(tar, { level: 1 })),
  );
  const config = json("application/vnd.oci.image.config.v1+json", {
    ...platform,
    config: options.config ?? { Cmd: ["/bin/sh"] },
    rootfs: { type: "layers", diff_ids: tars.map((tar) => sha256(tar)) },
  });
  const manifest = {
    schemaVersion: 2,
    mediaType: MANIFEST,
    config: descriptor(config),
    layers: layers.map(descriptor),
  };
  options.spoil?.(manifest);
  return { manifest: json(MANIFEST, manifest), config, layers, tars, platform };
}

export function makeIndex(images: readonly MadeImage[]): Part {
  const manifests = images.map(({ manifest, platform }) => ({ ...descriptor(manifest), platform }));
  return json(INDEX, { schemaVersion: 2, mediaType: INDEX, manifests });
}

export async function makeTar(files: Record<string, string | Uint8Array>): Promise<Uint8Array> {
  const tar = pack();
  for (const [name, content] of Object.entries(files)) tar.entry({ name }, Buffer.from(content));
  tar.finalize();
  return Buffer.concat(await Array.fromAsync(tar as AsyncIterable<Uint8Array>));
}

export function descriptor({ mediaType, digest, bytes }: Part) {
  return { mediaType, digest, size: bytes.length };
}

export function json(mediaType: string, value: unknown): Part {
  return part(mediaType, new TextEncoder().encode(JSON.stringify(value)));
}

export function part(mediaType: string, bytes: Uint8Array): Part {
  return { mediaType, bytes, digest: sha256(bytes) };
}

/** Where and how to push: "127.0.0.1:5000", "library/debian". */
export interface PushTarget {
  host: string;
  name: string;
  authorization?: string;
}

/** Pushes config and layers, and the manifest under its digest and the tags. */
export async function pushImage(
  image: MadeImage,
  target: PushTarget,
  tags: string[] = [],
): Promise<void> {
  for (const blob of [image.config, ...image.layers]) await pushBlob(blob, target);
  for (const tag of [image.manifest.digest, ...tags])
    await pushManifest(image.manifest, target, tag);
}

export async function pushBlob({ bytes, digest }: Part, target: PushTarget): Promise<void> {
  const headers = headersOf(target);
  const base = `http://${target.host}/v2/${target.name}`;
  const opened = await ok(fetch(`${base}/blobs/uploads/`, { method: "POST", headers }));
  const location = new URL(opened.headers.get("location") ?? "", base);
  location.searchParams.set("digest", digest);
  await ok(fetch(location, { method: "PUT", headers, body: Buffer.from(bytes) }));
}

export async function pushManifest(manifest: Part, target: PushTarget, tag: string): Promise<void> {
  const url = `http://${target.host}/v2/${target.name}/manifests/${tag}`;
  const headers = { ...headersOf(target), "content-type": manifest.mediaType };
  await ok(fetch(url, { method: "PUT", headers, body: Buffer.from(manifest.bytes) }));
}

/** The files of an OCI layout: name → bytes. `tags`: name in index.json → its manifest or index. */
export function layoutFiles(
  images: readonly MadeImage[],
  tags: Record<string, Part>,
): Record<string, Uint8Array> {
  const roots = Object.entries(tags);
  const parts = images.flatMap((image) => [image.manifest, image.config, ...image.layers]);
  const manifests = roots.map(([name, root]) => ({
    ...descriptor(root),
    ...(name ? { annotations: { "org.opencontainers.image.ref.name": name } } : {}),
  }));
  return {
    "oci-layout": Buffer.from('{"imageLayoutVersion":"1.0.0"}'),
    "index.json": json(INDEX, { schemaVersion: 2, manifests }).bytes,
    ...Object.fromEntries(
      [...parts, ...roots.map(([, root]) => root)].map((each) => [
        `blobs/sha256/${hexOf(each.digest)}`,
        each.bytes,
      ]),
    ),
  };
}

export function writeFiles(folder: string, files: Record<string, Uint8Array>): void {
  for (const [name, bytes] of Object.entries(files)) {
    const path = join(folder, name);
    mkdirSync(join(path, ".."), { recursive: true });
    writeFileSync(path, bytes);
  }
}

function headersOf({ authorization }: PushTarget): Record<string, string> {
  return authorization ? { authorization } : {};
}

async function ok(pending: Promise<Response>): Promise<Response> {
  const response = await pending;
  if (response.ok) return response;
  throw new Error(`${response.url}: ${response.status} ${(await response.text()).slice(0, 500)}`);
}
