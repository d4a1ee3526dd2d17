/** The kernel operations of the daemon. */
import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import type { CatalogEntry, Kernel } from "#api/kernel.ts";
import { type Digest, sha256 } from "#base/digest.ts";
import { BangerError } from "#base/error.ts";
import { writeFileAtomic } from "#base/files/atomic.ts";
import type { OnProgress } from "#base/progress.ts";
import { didYouMean } from "#base/similar.ts";
import { STAGING_NAME } from "./apt.ts";
import { availableKernels } from "./available.ts";
import {
  type Bundle,
  bundleNames,
  kernelFile,
  listBundles,
  makeModuleImage,
  moduleImageFile,
  parseKernelName,
  readBundle,
  removeBundle,
  sweepStaging,
} from "./bundle.ts";
import { type Entry, entriesFor, hostArch } from "./catalog.ts";
import { parseConfiguredCatalogs } from "./catalogs/configured.ts";
import { CatalogStore } from "./catalogs/store.ts";
import { type ImportOptions, importKernel } from "./import.ts";
import { type Arch, describeSource } from "./manifest.ts";
import { type PublishOptions, publishKernel, unpublishKernel } from "./publish/publish.ts";
import { pullKernel } from "./pull.ts";
import { buildKernel, kernelNameOf } from "./recipe/build.ts";
import { loadRecipe } from "./recipe/recipe.ts";
import { sweepScratch } from "./recipe/scratch.ts";
import { selectKernel } from "./select.ts";

export interface Work {
  signal?: AbortSignal | undefined;
  onProgress?: OnProgress | undefined;
}

/** The files of a bundle for a boot. */
export interface BootKernel {
  /** Of the kernel file. */
  path: string;
  /** Changes whenever the bundle does. */
  digest: Digest;
  /** Uncompressed modules, in load order. */
  modules: { name: string; path: string }[];
  /** File system to be mounted at /lib/modules/RELEASE in the guest; undefined for a kernel without modules. */
  moduleImage: string | undefined;
  /** The user's initrd, to be unpacked before the machine's own. */
  initrd?: string;
}

export interface KernelServiceOptions {
  /** Folder of the bundles. */
  dir: string;
  /** Directory of downloaded packages. */
  downloads: string;
  /** Directory of recipe builds. Default: one beside `downloads`. */
  builds?: string | undefined;
  /** Directory of user settings: catalogs and the default kernel. Default: one inside `dir`. */
  config?: string | undefined;
  /** `kernel.catalogs` of the configuration. */
  catalogs?: readonly string[] | undefined;
}

export interface BuildRequest {
  /** Name of a recipe, or the absolute path of one. */
  recipe: string;
  arch?: Arch | undefined;
  name?: string | undefined;
  force?: boolean | undefined;
  jobs?: number | undefined;
}

export class KernelService {
  readonly catalogs: CatalogStore;
  readonly #dir: string;
  readonly #downloads: string;
  readonly #builds: string;
  readonly #defaultFile: string;
  /** Kernels being written, by name. */
  readonly #busy = new Set<string>();
  /** Module images being written, by bundle. */
  readonly #imaging = new Map<string, Promise<string | undefined>>();

  constructor({ dir, downloads, builds, config, catalogs = [] }: KernelServiceOptions) {
    const choices = config ?? join(dir, ".config");
    this.#dir = dir;
    this.#downloads = downloads;
    this.#builds = builds ?? join(dirname(downloads), "kernel-builds");
    this.#defaultFile = join(choices, "default");
    const configured = parseConfiguredCatalogs(catalogs);
    this.catalogs = new CatalogStore(join(choices, "catalogs"), configured);
  }

  async list(): Promise<Kernel[]> {
    return listBundles(this.#dir).map(toKernel);
  }

  /** The catalog entries for the host's architecture; with `all`, for every architecture. */
  async available({ all }: { all?: boolean | undefined } = {}): Promise<CatalogEntry[]> {
    const catalog = this.catalogs.entries();
    const entries = all ? catalog.kernels : entriesFor(catalog, hostArch());
    return await availableKernels(entries, this.#folders());
  }

  /** `not_found` with the command to pull it, or with similar names. */
  async show(name: string): Promise<Kernel> {
    return toKernel(this.#read(name));
  }

  /** Throws unless the kernel exists. */
  async require(name: string): Promise<Kernel> {
    return await this.show(name);
  }

  /**
   * Pulls a kernel of a catalog, or builds it if the entry is a recipe. A current kernel is not pulled again without
   * `force`.
   */
  async pull(
    name: string,
    options: Work & { force?: boolean | undefined; noBuild?: boolean | undefined } = {},
  ): Promise<Kernel> {
    const entry = this.catalogs
      .entries()
      .kernels.find((each) => each.name === name && each.arch === hostArch());
    if (entry?.source.kind === "recipe" && !options.noBuild) {
      return await this.build({ recipe: entry.source.recipe, name, force: options.force }, options);
    }
    return await this.#exclusively(name, async () => {
      mkdirSync(this.#downloads, { recursive: true, mode: 0o700 });
      const { kernels, problems } = this.catalogs.entries();
      const [problem] = problems;
      // The name may be in an unreadable catalog.
      if (problem && !kernels.some((entry) => entry.name === name)) throw problem;
      const { bundle, changed } = await pullKernel(name, {
        ...options,
        dir: this.#dir,
        cache: this.#downloads,
        catalog: { kernels },
      });
      return this.#done(bundle, changed, options);
    });
  }

  /** Builds a kernel from a recipe, unless the same build is cached. */
  async build(request: BuildRequest, work: Work = {}): Promise<Kernel> {
    const recipe = loadRecipe(request.recipe);
    const name = parseKernelName(request.name ?? kernelNameOf(recipe, request.arch ?? hostArch()));
    return await this.#exclusively(name, async () => {
      mkdirSync(this.#downloads, { recursive: true, mode: 0o700 });
      const options = { ...request, ...work, ...this.#folders(), name };
      const { bundle, changed } = await buildKernel(request.recipe, options);
      return this.#done(bundle, changed, work);
    });
  }

  async import(request: Omit<ImportOptions, "dir" | keyof Work>, work: Work = {}): Promise<Kernel> {
    return await this.#exclusively(request.name ?? request.from, async () =>
      toKernel(await importKernel({ ...request, ...work, dir: this.#dir })),
    );
  }

  async publish(name: string, options: Omit<PublishOptions, "dir">): Promise<Entry> {
    this.#read(name);
    return await this.#exclusively(name, () => publishKernel(name, { ...options, dir: this.#dir }));
  }

  async unpublish(
    name: string,
    options: Omit<Parameters<typeof unpublishKernel>[1], "arch"> & { arch?: Arch | undefined },
  ): Promise<Entry> {
    return await unpublishKernel(name, { ...options, arch: options.arch ?? hostArch() });
  }

  /** Removing the default kernel also unsets the default. */
  async remove(name: string): Promise<void> {
    await this.#exclusively(name, () => removeBundle(this.#dir, name));
    if (this.defaultName() === name) rmSync(this.#defaultFile, { force: true });
  }

  /** The default kernel; undefined if not set. */
  defaultName(): string | undefined {
    if (!existsSync(this.#defaultFile)) return undefined;
    return parseKernelName(readFileSync(this.#defaultFile, "utf8").slice(0, 100).trim());
  }

  /** Sets the default kernel, which must exist. */
  async setDefault(name: string): Promise<Kernel> {
    const kernel = await this.show(name);
    writeFileAtomic(this.#defaultFile, `${name}\n`);
    return kernel;
  }

  /** Selects an existing kernel with all the features; `preferred` ones come first. */
  async select(needs: readonly string[], preferred: readonly string[] = []): Promise<Kernel> {
    const isForHere = ({ manifest }: Bundle): boolean => manifest.arch === hostArch();
    const bundle = selectKernel(needs, {
      bundles: listBundles(this.#dir).filter(isForHere),
      entries: entriesFor(this.catalogs.entries(), hostArch()),
      preferred,
    });
    return toKernel(bundle);
  }

  /** The files to boot it with. `vsock` adds the modules for a VMM with vsock. */
  async boot(name: string, options: { vsock?: boolean } = {}): Promise<BootKernel> {
    const { path, manifest } = this.#read(name);
    if (manifest.arch !== hostArch()) {
      throw new BangerError(
        "unsupported",
        `Cannot boot kernel "${name}": built for ${manifest.arch}, the host is ${hostArch()}`,
      );
    }
    const wanted = manifest.modules.filter(({ only }) => only !== "vsock" || options.vsock);
    return {
      path: join(path, kernelFile(manifest.format)),
      digest: sha256(`${JSON.stringify(manifest)} ${options.vsock ?? false}`),
      modules: wanted.map(({ name, file }) => ({ name, path: join(path, file) })),
      moduleImage: await this.#moduleImage({ path, manifest }),
      initrd: manifest.initrd ? join(path, "initrd.img") : undefined,
    };
  }

  /** Bundles of earlier versions have none yet. */
  async #moduleImage({ path, manifest }: Bundle): Promise<string | undefined> {
    if (existsSync(moduleImageFile(path))) return moduleImageFile(path);
    const making = this.#imaging.get(path) ?? makeModuleImage(path, manifest.version);
    this.#imaging.set(path, making);
    try {
      return await making;
    } finally {
      this.#imaging.delete(path);
    }
  }

  #folders() {
    return { dir: this.#dir, builds: this.#builds, downloads: this.#downloads };
  }

  #done(bundle: Bundle, changed: boolean, { onProgress }: Work): Kernel {
    const { name, version } = bundle.manifest;
    const message = changed ? `${name} is ${version}` : `${name} exists already (${version})`;
    onProgress?.({ step: "done", message });
    return toKernel(bundle);
  }

  #read(name: string): Bundle {
    const here = bundleNames(this.#dir);
    if (here.includes(name)) return readBundle(this.#dir, name);
    const available = entriesFor(this.catalogs.entries(), hostArch());
    const found = available.find((entry) => entry.name === name);
    if (found) {
      const isBuilt = found.source.kind === "recipe";
      const why = isBuilt ? "not built yet" : "not pulled yet";
      throw new BangerError("not_found", `no such kernel "${name}": ${why}`, {
        hint: `banger kernel ${isBuilt ? "build" : "pull"} ${name}`,
      });
    }
    const known = [...new Set([...here, ...available.map((entry) => entry.name)])];
    throw new BangerError("not_found", `no such kernel "${name}"`, {
      hint: didYouMean(name, known, "List available kernels with: banger kernel list --available"),
    });
  }

  async #sweep(): Promise<void> {
    // All scans happen before the first await, so that newer files do not count as leftovers.
    await Promise.all([
      sweepStaging(this.#dir),
      sweepStaging(this.#downloads, STAGING_NAME),
      sweepScratch(this.#builds),
    ]);
  }

  async #exclusively<T>(name: string, work: () => Promise<T>): Promise<T> {
    if (this.#busy.has(name)) {
      throw new BangerError(
        "conflict",
        `Cannot change kernel "${name}": in use by another command`,
        {
          hint: "Wait for the other command to finish",
        },
      );
    }
    this.#busy.add(name);
    try {
      // This process is the only writer, so incomplete files are leftovers of a killed one.
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
