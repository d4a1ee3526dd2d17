/** Lists the available kernels: the catalog entries, and whether each is pulled and up to date. */
import type { CatalogEntry } from "#api/kernel.ts";
import type { NamedEntry } from "#kernels/catalogs/store.ts";
import { recipeKey } from "#kernels/recipe/build.ts";
import { choicesOf, fragmentOf, loadRecipe } from "#kernels/recipe/recipe.ts";
import { knownKernelPackages, packageKey } from "./apt.ts";
import type { AptPackage } from "./apt-cache.ts";
import { tryRead } from "./bundle.ts";
import { hostArch } from "./catalog.ts";
import { featuresOf } from "./features.ts";
import type { Arch, Manifest } from "./manifest.ts";

/** Timeout of apt, so that the list is always shown. */
const ASK_TIMEOUT_MS = 10_000;

export interface KernelFolders {
  /** Directory of the bundles. */
  dir: string;
  builds: string;
  downloads: string;
}

type Packages = ReadonlyMap<string, AptPackage>;

/** The current version in an entry's source, if it is known without downloading it. */
interface Current {
  version?: string;
  size_bytes?: number;
  /** Whether a bundle has this version. */
  isOf: (manifest: Manifest) => boolean;
}

/** Looks up Debian packages in apt's index. Kernels whose source is unknown count as current. */
export async function availableKernels(
  entries: readonly NamedEntry[],
  folders: KernelFolders,
): Promise<CatalogEntry[]> {
  const wanted = entries.flatMap(({ source, arch }) =>
    source.kind === "debian" ? [{ name: source.package, arch }] : [],
  );
  const signal = AbortSignal.timeout(ASK_TIMEOUT_MS);
  const packages = await knownKernelPackages(wanted, {
    cache: folders.downloads,
    signal,
  }).catch(() => new Map());
  return await Promise.all(entries.map((entry) => toAvailableKernel(entry, packages, folders)));
}

/** The features of an entry's kernel; undefined if unknown. */
export function featuresOfEntry(entry: {
  arch: Arch;
  source: NamedEntry["source"];
  features?: readonly string[] | undefined;
}): readonly string[] | undefined {
  if (entry.features || entry.source.kind !== "recipe") return entry.features;
  try {
    const config = fragmentOf(choicesOf(loadRecipe(entry.source.recipe), entry.arch));
    return featuresOf(config).map(({ name }) => name);
  } catch {
    return undefined;
  }
}

async function toAvailableKernel(
  entry: NamedEntry,
  packages: Packages,
  folders: KernelFolders,
): Promise<CatalogEntry> {
  const here = entry.arch === hostArch() ? tryRead(folders.dir, entry.name) : undefined;
  const options = { packages, folders, isHere: here !== undefined };
  const current = await currentOf(entry, options).catch(() => undefined);
  const version = current?.version ?? entry.version;
  return {
    name: entry.name,
    distro: entry.distro,
    arch: entry.arch,
    description: entry.description,
    source: entry.source.kind,
    catalog: entry.catalog,
    version,
    size_bytes: current?.size_bytes,
    features: [...(featuresOfEntry(entry) ?? [])],
    pulled: here !== undefined,
    outdated: here !== undefined && current !== undefined && !current.isOf(here.manifest),
  };
}

async function currentOf(
  entry: NamedEntry,
  { packages, folders, isHere }: { packages: Packages; folders: KernelFolders; isHere: boolean },
): Promise<Current | undefined> {
  const { source } = entry;
  switch (source.kind) {
    case "debian": {
      const wanted = packages.get(packageKey({ name: source.package, arch: entry.arch }));
      if (!wanted) return undefined;
      const version = /(\d+\.\d+\.\d+[^_]*?)-(?:amd64|arm64|cloud)/.exec(wanted.name)?.[1];
      return {
        version: version ?? wanted.version,
        size_bytes: wanted.size_bytes,
        isOf: ({ source: from }) => from.kind === "debian" && from.sha256 === wanted.sha256,
      };
    }
    case "tarball":
      return {
        size_bytes: source.size_bytes,
        isOf: ({ source: from }) => from.kind === "tarball" && from.sha256 === source.sha256,
      };
    case "recipe": {
      const { recipe } = source;
      const options = { ...folders, arch: entry.arch, signal: AbortSignal.timeout(ASK_TIMEOUT_MS) };
      const key = isHere ? await recipeKey(recipe, options).catch(() => undefined) : undefined;
      return {
        version: loadRecipe(recipe).version,
        isOf: ({ source: from }) =>
          key === undefined || (from.kind === "recipe" && from.key === key),
      };
    }
  }
}
