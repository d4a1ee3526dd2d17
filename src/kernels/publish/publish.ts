/** Publishes a kernel: packs and uploads it, verifies the public URL, and then adds it to the catalog. */
import { mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BangerError } from "#base/error.ts";
import { parseHttpUrl } from "#http/url.ts";
import { type Bundle, readBundle } from "#kernels/bundle.ts";
import type { Entry } from "#kernels/catalog.ts";
import { putEntry, readCatalogFile, removeEntry, signCatalog } from "#kernels/catalogs/author.ts";
import type { Arch } from "#kernels/manifest.ts";
import { packBundle } from "#kernels/tarball/pack.ts";
import { openDestination, type TransferWork } from "./destination.ts";
import { checkPublicFile, publicSize } from "./public-file.ts";

export interface PublishOptions extends TransferWork {
  /** Folder of the bundles. */
  dir: string;
  /** See destination.ts. */
  to: string;
  /** Public URL of `to`. */
  url: string;
  /** The catalog file for the entry, created if missing. */
  catalog: string;
  /** Secret key that signs the catalog. */
  key?: string | undefined;
  description?: string | undefined;
}

export interface UnpublishOptions extends TransferWork {
  arch: Arch;
  to: string;
  catalog: string;
  key?: string | undefined;
}

/** Returns the new entry. The catalog is unchanged on failure. */
export async function publishKernel(name: string, options: PublishOptions): Promise<Entry> {
  const { signal, onProgress, catalog } = options;
  const bundle = readBundle(options.dir, name);
  const destination = openDestination(options.to);
  const file = tarballName(name, bundle.manifest.arch);
  const url = publicUrl(options.url, file);
  const scratch = mkdtempSync(join(tmpdir(), "banger-publish-"));
  try {
    onProgress?.({ step: "pack", message: `Packing ${name}` });
    const path = join(scratch, file);
    const packed = await packBundle(bundle, path, { signal, onProgress });
    onProgress?.({ step: "upload", message: `Uploading ${file}` });
    await destination.put(path, file, { signal, onProgress });
    await checkPublicFile({ ...packed, url }, { signal, onProgress });
    const entry = entryOf(bundle, { kind: "tarball", url, ...packed }, options.description);
    putEntry(catalog, entry);
    if (options.key !== undefined) signCatalog(catalog, options.key);
    return entry;
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** Removes the entry before the file, so that the catalog never refers to a missing file. */
export async function unpublishKernel(name: string, options: UnpublishOptions): Promise<Entry> {
  const { arch, catalog, key, signal, onProgress } = options;
  const destination = openDestination(options.to);
  const here = readCatalogFile(catalog).kernels.find(
    (entry) => entry.name === name && entry.arch === arch,
  );
  if (here?.source.kind !== "tarball") {
    const why = here ? "its catalog entry has no file" : `not in "${catalog}" for ${arch}`;
    throw new BangerError("not_found", `Cannot unpublish kernel "${name}": ${why}`);
  }
  removeEntry(catalog, { name, arch });
  if (key !== undefined) signCatalog(catalog, key);
  const { url } = here.source;
  const file = decodeURIComponent(new URL(url).pathname.split("/").at(-1) ?? "");
  onProgress?.({ step: "remove", message: `Removing ${file}` });
  await destination.remove(file, { signal, onProgress });
  await assertGone(url, signal);
  return here;
}

/** "generic-6.12-amd64.tar.zst". */
export function tarballName(name: string, arch: Arch): string {
  return `${name}-${arch}.tar.zst`;
}

async function assertGone(url: string, signal: AbortSignal | undefined): Promise<void> {
  try {
    await publicSize(new URL(url), signal);
  } catch (error) {
    // A bucket without list permission does not report a missing file.
    const isGone =
      error instanceof BangerError && ["not_found", "unauthorized"].includes(error.code);
    if (isGone) return;
    throw error;
  }
  throw new BangerError("invalid_state", `Cannot unpublish: "${url}" can still be downloaded`, {
    hint: "It was removed from the catalog; a cache may keep the file for a while",
  });
}

function publicUrl(base: string, file: string): string {
  const url = parseHttpUrl(base);
  if (!url.pathname.endsWith("/")) url.pathname += "/";
  return new URL(encodeURIComponent(file), url).href;
}

function entryOf(
  { manifest }: Bundle,
  source: Entry["source"],
  description: string | undefined,
): Entry {
  return {
    name: manifest.name,
    distro: manifest.distro,
    arch: manifest.arch,
    description: description ?? `Linux ${manifest.version}`,
    version: manifest.version,
    features: manifest.features.map((feature) => feature.name),
    source,
  };
}
