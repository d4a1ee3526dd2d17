/** Pulling a kernel of the catalog: from its source to a bundle, whole or not at all. */
import { BangerError } from "#base/error.ts";
import type { OnProgress } from "#base/progress.ts";
import { resolveKernelPackage } from "./apt.ts";
import { type Bundle, placeBundle, tryRead } from "./bundle.ts";
import { type Catalog, type Entry, embeddedCatalog, findEntry, hostArch } from "./catalog.ts";
import { fillFromDebian } from "./debian.ts";
import type { Arch } from "./manifest.ts";

export interface PullOptions {
  /** Folder of the bundles. */
  dir: string;
  /** Folder that keeps downloaded packages, where it exists. */
  cache?: string | undefined;
  /** Pulls again what is here and current. */
  force?: boolean | undefined;
  /** Default: the embedded one. */
  catalog?: Catalog;
  /** Default: that of this computer. */
  arch?: Arch;
  signal?: AbortSignal | undefined;
  onProgress?: OnProgress | undefined;
}

export interface Pulled {
  bundle: Bundle;
  /** False when the kernel was here already, in the version that the source has now. */
  changed: boolean;
}

export async function pullKernel(name: string, options: PullOptions): Promise<Pulled> {
  const arch = options.arch ?? hostArch();
  const entry = findEntry(options.catalog ?? embeddedCatalog(), name, arch);
  const { source } = entry;
  if (source.kind === "debian") return await pullDebian(entry, source.package, options);
  throw new BangerError(
    "unsupported",
    `Cannot pull kernel "${name}": this version of banger takes no kernels from a ${source.kind}`,
    { hint: "banger kernel list --available" },
  );
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
  const bundle = await placeBundle(options.dir, entry.name, (staging) =>
    fillFromDebian(wanted, staging, { ...options, name: entry.name, distro: entry.distro }),
  );
  return { bundle, changed: true };
}
