/** Opens an image from any source: a registry, a file or directory, or another engine's store. */
import { statSync } from "node:fs";
import { throwIfAborted } from "#base/abort.ts";
import type { OnProgress } from "#base/progress.ts";
import { openArchive } from "#oci/local/archive.ts";
import { compressionOfFile, unpackFile } from "#oci/local/compressed-archive.ts";
import { exportFromEngine } from "#oci/local/engine.ts";
import { openFolder } from "#oci/local/file-tree.ts";
import { openSaved } from "#oci/local/saved-image.ts";
import { openFromScratch } from "#oci/local/scratch.ts";
import type { RegistryOptions } from "#oci/registry/client.ts";
import { openRemoteImage } from "#oci/registry/remote-image.ts";
import type { OpenedImage } from "./image.ts";
import { formatLocation, type Location, parseLocation } from "./location.ts";
import { hostPlatform, parsePlatform } from "./platform.ts";

export interface OpenOptions extends RegistryOptions {
  /** "linux/arm64". Default: Linux on the architecture of this host. */
  platform?: string | undefined;
  /** Directory of the blob cache, with blobs in `<cacheDir>/sha256/`. Images from files do not use it. */
  cacheDir: string;
  /** Directory for exported and decompressed archives, which need not exist. Default: one below the system's. */
  scratchDir?: string | undefined;
  /** Base of relative paths, as in `oci:DIR`. */
  cwd?: string | undefined;
  /** Cancels all operations of this image, reading of layers included. */
  signal?: AbortSignal | undefined;
  /** One step per layer: "layer <12 hex digits>", in bytes. */
  onProgress?: OnProgress | undefined;
}

/**
 * Resolves a reference ("debian:bookworm", "oci:DIR:TAG", "docker-archive:FILE") to config and layers; layers are
 * downloaded when they are read. Disposing of the image cancels its downloads.
 *
 * Errors: `invalid_argument` (the reference), `not_found`, `unauthorized`, `unavailable` (the registry),
 * `unsupported` (platform, format), `integrity`, `limit_exceeded`, `cancelled`.
 */
export async function openImage(text: string, options: OpenOptions): Promise<OpenedImage> {
  throwIfAborted(options.signal);
  const location = parseLocation(text, { cwd: options.cwd });
  const platform = options.platform ? parsePlatform(options.platform) : hostPlatform();
  if (location.kind === "registry") {
    return openRemoteImage(location.reference, { ...options, platform });
  }
  return openLocalImage(location, { ...options, platform });
}

async function openLocalImage(
  location: Exclude<Location, { kind: "registry" }>,
  options: Omit<OpenOptions, "platform"> & { platform: ReturnType<typeof hostPlatform> },
): Promise<OpenedImage> {
  const { platform, signal, onProgress } = options;
  if (!("path" in location)) {
    return exportFromEngine(location, { ...options, reference: formatLocation(location) });
  }
  const { kind, path, name } = location;
  const prefers = kind === "docker-archive" ? "docker-archive" : "layout";
  const reference = formatLocation(location);
  const local = { reference, name, platform, signal, onProgress, prefers } as const;
  // "image save --oci" writes a file or a directory.
  if (kind === "oci" && !isFile(path)) return openSaved(await openFolder(path), local);
  const compression = await compressionOfFile(path);
  if (!compression) return openSaved(await openArchive(path, { signal }), local);
  return await openFromScratch(options.scratchDir, async (file) => {
    await unpackFile(path, file, { kind: compression, signal, onProgress });
    return await openSaved(await openArchive(file, { signal, name: path }), local);
  });
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === true;
}
