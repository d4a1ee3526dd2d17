/** Pulls a kernel of a catalog from its source, atomically. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { BangerError } from "#base/error.ts";
import type { OnProgress } from "#base/progress.ts";
import { resolveKernelPackage } from "./apt.ts";
import { type Bundle, placeBundle, tryRead } from "./bundle.ts";
import { type Entry, type EntrySource, embeddedCatalog, findEntry, hostArch } from "./catalog.ts";
import { fillFromDebian } from "./debian.ts";
import type { Arch } from "./manifest.ts";
import { fillFromTarball } from "./tarball/fill.ts";

export interface PullOptions {
  /** Folder of the bundles. */
  dir: string;
  /** Directory of downloads. Default: one beside the bundles. */
  cache?: string | undefined;
  /** Pull even if the kernel is current. */
  force?: boolean | undefined;
  /** Default: the embedded catalog. */
  catalog?: { kernels: readonly Entry[] };
  /** Default: the host's. */
  arch?: Arch | undefined;
  signal?: AbortSignal | undefined;
  onProgress?: OnProgress | undefined;
  /** Wait before a second attempt to download. Default 250. */
  retryDelay_ms?: number | undefined;
}

export interface Pulled {
  bundle: Bundle;
  /** False if the kernel was current already. */
  changed: boolean;
}

export async function pullKernel(name: string, options: PullOptions): Promise<Pulled> {
  const arch = options.arch ?? hostArch();
  const entry = findEntry(options.catalog ?? embeddedCatalog(), name, arch);
  const { source } = entry;
  switch (source.kind) {
    case "debian":
      return await pullDebian(entry, source.package, options);
    case "tarball":
      return await pullTarball(entry, source, options);
    case "recipe":
      throw new BangerError(
        "unsupported",
        `Cannot pull kernel "${name}": the catalog has only a recipe for it`,
        { hint: `banger kernel build ${source.recipe}` },
      );
  }
}

async function pullDebian(
  entry: Entry,
  packageName: string,
  options: PullOptions,
): Promise<Pulled> {
  options.onProgress?.({ step: "resolve", message: `Looking up ${packageName}` });
  const wanted = await resolveKernelPackage(packageName, entry.arch, options);
  const here = tryRead(options.dir, entry.name);
  const source = here?.manifest.source;
  const isCurrent = source?.kind === "debian" && source.sha256 === wanted.sha256;
  if (here && isCurrent && !options.force) return { bundle: here, changed: false };
  const { name, distro } = entry;
  const fill = (staging: string) => fillFromDebian(wanted, staging, { ...options, name, distro });
  const bundle = await placeBundle(options.dir, name, fill, options);
  return { bundle, changed: true };
}

async function pullTarball(
  entry: Entry,
  source: EntrySource & { kind: "tarball" },
  options: PullOptions,
): Promise<Pulled> {
  const here = tryRead(options.dir, entry.name);
  const was = here?.manifest.source;
  const isCurrent = was?.kind === "tarball" && was.sha256 === source.sha256;
  if (here && isCurrent && here.manifest.arch === entry.arch && !options.force) {
    return { bundle: here, changed: false };
  }
  const cache = join(options.cache ?? join(options.dir, ".downloads"), "kernels");
  mkdirSync(cache, { recursive: true, mode: 0o700 });
  const fill = (staging: string) =>
    fillFromTarball({ ...entry, source }, staging, { ...options, cache });
  const bundle = await placeBundle(options.dir, entry.name, fill, options);
  return { bundle, changed: true };
}
