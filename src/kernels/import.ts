/** A kernel bundle from files that the user built or got elsewhere. */
import { copyFileSync, existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { BangerError } from "#base/error.ts";
import type { OnProgress } from "#base/progress.ts";
import { GiB } from "#base/size.ts";
import { type Bundle, diskUsage, placeBundle, tryRead } from "./bundle.ts";
import { featuresOf, keepConfig, MAX_CONFIG_BYTES } from "./features.ts";
import { type KernelImage, keepKernelImage, readKernelImage } from "./image.ts";
import type { Manifest } from "./manifest.ts";
import { keepBootModules, keepCommonModules } from "./module-set.ts";
import { openModuleTree } from "./modules.ts";

const MAX_INITRD_BYTES = 2 * GiB;
const MAX_FOLDER_ENTRIES = 10_000;

export interface ImportOptions {
  /** Folder of the bundles. */
  dir: string;
  /** A folder with a kernel and what belongs to it, or the kernel's file alone. */
  from: string;
  /** Default: "local-" and the major and minor version. */
  name?: string | undefined;
  /** Replaces a kernel of that name. */
  force?: boolean | undefined;
  signal?: AbortSignal | undefined;
  onProgress?: OnProgress | undefined;
}

/**
 * Takes in a vmlinux, or else a vmlinuz or bzImage, with an initrd* and a modules/ folder if
 * they are beside it. `already_exists` when the name is taken and `force` is not given.
 */
export async function importKernel(options: ImportOptions): Promise<Bundle> {
  const { signal, onProgress } = options;
  const kernelPath = findKernel(options.from);
  onProgress?.({ step: "kernel", message: `Reading ${kernelPath}` });
  const image = await readKernelImage(kernelPath, signal);
  const name = options.name ?? `local-${/^\d+\.\d+/.exec(image.version)?.[0] ?? "0"}`;
  if (!options.force && tryRead(options.dir, name)) {
    throw new BangerError("already_exists", `Cannot import kernel "${name}": it is already here`, {
      hint: "Give another name with --name, or replace it with --force",
    });
  }
  return await placeBundle(options.dir, name, async (staging): Promise<Manifest> => {
    const folder = dirname(kernelPath);
    const sha256 = keepKernelImage(image, staging);
    const initrd = findInitrd(folder);
    if (initrd) copyFileSync(initrd, join(staging, "initrd.img"));
    onProgress?.({ step: "modules", message: "Copying modules" });
    const root = findModules(folder, image);
    const tree = openModuleTree(root ?? join(staging, "none"));
    const modules = await keepBootModules(tree, staging, { signal });
    if (root) {
      await keepCommonModules(tree, staging, { signal, release: image.version, all: true });
    }
    const config = findConfig(folder, image);
    keepConfig(config, staging);
    return {
      schema: 1,
      name,
      distro: /^[a-z0-9]+/.exec(name)?.[0] ?? "local",
      arch: image.arch,
      version: image.version,
      format: image.format,
      sha256,
      source: { kind: "import", from: options.from },
      importedAt: new Date().toISOString(),
      features: featuresOf(config),
      modules,
      initrd: initrd !== undefined,
      size_bytes: diskUsage(staging),
    };
  });
}

/** The one kernel of a folder, or of the boot/ folder in it; an ELF file goes before a compressed one. */
function findKernel(from: string): string {
  if (!existsSync(from)) {
    throw new BangerError("not_found", `Cannot import from "${from}": there is no such file`);
  }
  if (statSync(from).isFile()) return from;
  for (const folder of [from, join(from, "boot")]) {
    for (const pattern of [/^vmlinux(-.*)?$/, /^(vmlinuz|bzImage)(-.*)?$/]) {
      const found = filesIn(folder, pattern);
      if (found.length > 1) throw several(from, found);
      if (found[0]) return found[0];
    }
  }
  throw new BangerError("not_found", `Cannot import from "${from}": no kernel is in it`, {
    hint: "The folder must hold a vmlinux, vmlinuz or bzImage",
  });
}

function findInitrd(folder: string): string | undefined {
  const found = filesIn(folder, /^initrd(\.img)?(-.*)?$/);
  if (found.length > 1) throw several(folder, found);
  if (found[0] && statSync(found[0]).size > MAX_INITRD_BYTES) {
    throw new BangerError("limit_exceeded", `Cannot import "${found[0]}": it is too large`);
  }
  return found[0];
}

/** The modules for exactly this kernel: others would not load. */
function findModules(folder: string, image: KernelImage): string | undefined {
  const tops = ["modules", "lib/modules", "../lib/modules"].map((place) => join(folder, place));
  for (const top of tops.filter((path) => existsSync(path))) {
    if (existsSync(join(top, image.version))) return join(top, image.version);
    if (existsSync(join(top, "kernel"))) return top;
    const others = readdirSync(top).filter((name) => existsSync(join(top, name, "kernel")));
    if (others.length === 0) continue;
    throw new BangerError(
      "invalid_argument",
      `Cannot import the modules in "${top}": they are for ${others.slice(0, 3).join(", ")}, the kernel is ${image.version}`,
    );
  }
  return undefined;
}

function findConfig(folder: string, image: KernelImage): string {
  const places = [`config-${image.version}`, "config", ".config"].map((name) => join(folder, name));
  const path = places.find((place) => existsSync(place));
  if (path === undefined || statSync(path).size > MAX_CONFIG_BYTES) return image.config ?? "";
  return readFileSync(path, "utf8");
}

function filesIn(folder: string, pattern: RegExp): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .slice(0, MAX_FOLDER_ENTRIES)
    .filter((name) => pattern.test(name) && statSync(join(folder, name)).isFile())
    .sort()
    .map((name) => join(folder, name));
}

function several(from: string, found: readonly string[]): BangerError {
  const names = found.map((path) => basename(path)).join(", ");
  return new BangerError("conflict", `Cannot import from "${from}": ${names} all fit`, {
    hint: "Name the file itself: --from FILE",
  });
}
