/** Converts catalogs and published kernels to the contract's nouns. */
import type { KernelCatalog, KernelPublished } from "#api/kernel.ts";
import { assert } from "#base/assert.ts";
import type { Entry } from "#kernels/catalog.ts";
import type { CatalogInfo } from "#kernels/catalogs/store.ts";

export function publishedKernel(entry: Entry, catalog: string): KernelPublished {
  const { name, arch, version, source } = entry;
  assert(source.kind === "tarball", "what is published is a file");
  const { url, sha256, size_bytes } = source;
  return {
    name,
    arch,
    version,
    url,
    sha256,
    size_bytes,
    catalog,
  };
}

export function knownCatalog({ name, from, kernels, ...rest }: CatalogInfo): KernelCatalog {
  const known = Object.entries(rest).filter(([, value]) => value !== undefined);
  return { name, from, kernels, ...Object.fromEntries(known) };
}
