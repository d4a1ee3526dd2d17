/** The kernels of one installation, as the daemon serves them. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { CatalogEntry, Kernel } from "#api/kernel.ts";
import { type Digest, sha256 } from "#base/digest.ts";
import { BangerError } from "#base/error.ts";
import type { OnProgress } from "#base/progress.ts";
import { didYouMean } from "#base/similar.ts";
import { PACKAGE_PREFIX } from "./apt.ts";
import {
  type Bundle,
  bundleNames,
  kernelFile,
  listBundles,
  parseKernelName,
  readBundle,
  removeBundle,
  sweepStaging,
  tryRead,
} from "./bundle.ts";
import { embeddedCatalog, entriesFor, hostArch } from "./catalog.ts";
import { importKernel } from "./import.ts";
import { describeSource } from "./manifest.ts";
import { pullKernel } from "./pull.ts";

export interface Work {
  signal?: AbortSignal | undefined;
  onProgress?: OnProgress | undefined;
}

/** What a boot takes from a bundle. */
export interface BootKernel {
  /** Of the kernel file. */
  path: string;
  /** Changes whenever anything of the bundle does. */
  digest: Digest;
  /** Uncompressed modules, in load order. */
  modules: { name: string; path: string }[];
  /** Folder to be found as /lib/modules inside the guest; undefined for a kernel without modules. */
  modulesDir: string | undefined;
}

export interface KernelServiceOptions {
  /** Folder of the bundles. */
  dir: string;
  /** Folder that keeps downloaded packages. */
  downloads: string;
}

export class KernelService {
  readonly #dir: string;
  readonly #downloads: string;
  /** Names that are being written. */
  readonly #busy = new Set<string>();

  constructor({ dir, downloads }: KernelServiceOptions) {
    this.#dir = dir;
    this.#downloads = downloads;
  }

  async list(): Promise<Kernel[]> {
    return listBundles(this.#dir).map(toKernel);
  }

  /** What the catalog has for this computer. */
  async available(): Promise<CatalogEntry[]> {
    return entriesFor(embeddedCatalog(), hostArch()).map((entry) => ({
      name: entry.name,
      distro: entry.distro,
      arch: entry.arch,
      description: entry.description,
      source: entry.source.kind,
      pulled: tryRead(this.#dir, entry.name) !== undefined,
    }));
  }

  /** `not_found` with the command that gets it, or with the nearest names. */
  async show(name: string): Promise<Kernel> {
    return toKernel(this.#read(name));
  }

  /** The same as `show`, for who only needs the kernel to be here. */
  async require(name: string): Promise<Kernel> {
    return await this.show(name);
  }

  /** Fetches a kernel of the catalog. One that is here and current is left as it is, unless `force`. */
  async pull(name: string, options: Work & { force?: boolean } = {}): Promise<Kernel> {
    return await this.#exclusively(name, async () => {
      mkdirSync(this.#downloads, { recursive: true, mode: 0o700 });
      const folders = { dir: this.#dir, cache: this.#downloads };
      const { bundle, changed } = await pullKernel(name, { ...options, ...folders });
      const { version } = bundle.manifest;
      const message = changed ? `${name} is ${version}` : `${name} is already here (${version})`;
      options.onProgress?.({ step: "done", message });
      return toKernel(bundle);
    });
  }

  async import(
    request: { from: string; name?: string | undefined; force?: boolean | undefined },
    work: Work = {},
  ): Promise<Kernel> {
    return await this.#exclusively(request.name ?? request.from, async () =>
      toKernel(await importKernel({ ...request, ...work, dir: this.#dir })),
    );
  }

  async remove(name: string): Promise<void> {
    await this.#exclusively(name, () => removeBundle(this.#dir, name));
  }

  /** What to boot it with. `vsock` adds the modules for a monitor that talks over vsock. */
  async boot(name: string, options: { vsock?: boolean } = {}): Promise<BootKernel> {
    const { path, manifest } = this.#read(name);
    const wanted = manifest.modules.filter(({ only }) => only !== "vsock" || options.vsock);
    const hasTree = manifest.modules.length > 0;
    return {
      path: join(path, kernelFile(manifest.format)),
      digest: sha256(`${JSON.stringify(manifest)} ${options.vsock ?? false}`),
      modules: wanted.map(({ name, file }) => ({ name, path: join(path, file) })),
      modulesDir: hasTree ? join(path, "modules") : undefined,
    };
  }

  #read(name: string): Bundle {
    const here = bundleNames(this.#dir);
    if (here.includes(parseKernelName(name))) return readBundle(this.#dir, name);
    const inCatalog = entriesFor(embeddedCatalog(), hostArch()).map((entry) => entry.name);
    if (inCatalog.includes(name)) {
      throw new BangerError("not_found", `Cannot find kernel "${name}": it is not pulled yet`, {
        hint: `banger kernel pull ${name}`,
      });
    }
    const known = [...new Set([...here, ...inCatalog])];
    throw new BangerError("not_found", `Cannot find kernel "${name}": it is not here`, {
      hint: didYouMean(name, known, "banger kernel list --available"),
    });
  }

  async #sweep(): Promise<void> {
    // Both look before the first await, so that nothing newer is taken for a left-over.
    await Promise.all([sweepStaging(this.#dir), sweepStaging(this.#downloads, PACKAGE_PREFIX)]);
  }

  async #exclusively<T>(name: string, work: () => Promise<T>): Promise<T> {
    if (this.#busy.has(name)) {
      throw new BangerError("conflict", `Cannot change kernel "${name}": it is being changed`, {
        hint: "Wait until the other command is done",
      });
    }
    this.#busy.add(name);
    try {
      // The only writer: whatever is half-made now was left by a process that was killed.
      if (this.#busy.size === 1) await this.#sweep();
      return await work();
    } finally {
      this.#busy.delete(name);
    }
  }
}

function toKernel({ path, manifest }: Bundle): Kernel {
  return {
    name: manifest.name,
    distro: manifest.distro,
    arch: manifest.arch,
    version: manifest.version,
    digest: manifest.sha256,
    source: describeSource(manifest.source),
    features: manifest.features.map((feature) => feature.name),
    size_bytes: manifest.size_bytes,
    importedAt: manifest.importedAt,
    path,
  };
}
