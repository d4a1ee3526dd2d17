/** Imports a kernel bundle from the user's own files. */
import { copyFileSync, existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { BangerError } from "#base/error.ts";
import type { OnProgress } from "#base/progress.ts";
import { GiB } from "#base/size.ts";
import { type Bundle, placeBundle, tryRead } from "./bundle.ts";
import { featuresOf, MAX_CONFIG_BYTES, writeConfig } from "./features.ts";
import { type KernelImage, readKernelImage, writeKernelImage } from "./image.ts";
import { findLayout } from "./import-layout.ts";
import { unpackInitrdModules } from "./initrd-modules.ts";
import type { Arch, FilledManifest } from "./manifest.ts";
import { copyBootModules, copyCommonModules } from "./module-set.ts";
import { openModuleTree } from "./modules.ts";

const MAX_INITRD_BYTES = 2 * GiB;

export interface ImportOptions {
  /** Folder of the bundles. */
  dir: string;
  /** A directory with a kernel and its files, or a kernel file. */
  from: string;
  /** Default: "local-MAJOR.MINOR". */
  name?: string | undefined;
  /** Default: that of the metadata, else the first word of the name. */
  distro?: string | undefined;
  /** Fails for a kernel of another architecture. */
  arch?: Arch | undefined;
  /** Replaces a kernel of that name. */
  force?: boolean | undefined;
  signal?: AbortSignal | undefined;
  onProgress?: OnProgress | undefined;
}

/**
 * Imports the files of `findLayout`, with version and features from the kernel itself. `already_exists` if the name
 * is in use, without `force`.
 */
export async function importKernel(options: ImportOptions): Promise<Bundle> {
  const { signal, onProgress } = options;
  const layout = findLayout(options.from);
  onProgress?.({ step: "kernel", message: `Reading ${layout.kernel}` });
  const image = await readKernelImage(layout.kernel, signal);
  if (options.arch && options.arch !== image.arch) {
    throw new BangerError(
      "invalid_argument",
      `Cannot import ${layout.kernel}: architecture is ${image.arch}, not ${options.arch}`,
      { hint: "Omit --arch to detect the architecture" },
    );
  }
  const name =
    options.name ?? layout.name ?? `local-${/^\d+\.\d+/.exec(image.version)?.[0] ?? "0"}`;
  if (!options.force && tryRead(options.dir, name)) {
    throw new BangerError("already_exists", `Cannot import kernel "${name}": it exists already`, {
      hint: "Use a different name, or replace it with --force",
    });
  }
  const fill = async (staging: string): Promise<FilledManifest> => {
    const sha256 = writeKernelImage(image, staging);
    const { initrd } = layout;
    if (initrd) copyInitrd(initrd, staging);
    const scratch = join(staging, ".initrd-modules");
    const beside = findModules(layout.modules, image);
    if (initrd && !beside) await unpackInitrdModules(initrd, { target: scratch, signal });
    const root = beside ?? findModules([scratch], image);
    const tree = openModuleTree(root ?? join(staging, "none"));
    const modules = await copyBootModules(tree, staging, { signal });
    if (root) {
      const release = image.version;
      await copyCommonModules(tree, staging, { signal, onProgress, release, all: true });
    }
    await rm(scratch, { recursive: true, force: true });
    const config = readConfig(layout.configs, image);
    writeConfig(config, staging);
    return {
      schema: 1,
      name,
      distro: options.distro ?? layout.distro ?? /^[a-z0-9]+/.exec(name)?.[0] ?? "local",
      arch: image.arch,
      version: image.version,
      format: image.format,
      sha256,
      source: { kind: "import", from: options.from },
      importedAt: new Date().toISOString(),
      features: featuresOf(config),
      modules,
      initrd: initrd !== undefined,
    };
  };
  return await placeBundle(options.dir, name, fill, { signal, onProgress });
}

function copyInitrd(path: string, staging: string): void {
  if (statSync(path).size > MAX_INITRD_BYTES) {
    throw new BangerError("limit_exceeded", `Cannot import "${path}": too large`);
  }
  copyFileSync(path, join(staging, "initrd.img"));
}

/** The modules of this kernel release; others would not load. */
export function findModules(places: readonly string[], image: KernelImage): string | undefined {
  for (const top of places.filter((path) => existsSync(path))) {
    if (existsSync(join(top, image.version))) return join(top, image.version);
    if (existsSync(join(top, "kernel"))) return top;
    const others = readdirSync(top).filter((name) => existsSync(join(top, name, "kernel")));
    if (others.length === 0) continue;
    throw new BangerError(
      "invalid_argument",
      `Cannot use the modules in "${top}": they are for ${others.slice(0, 3).join(", ")}, the kernel is ${image.version}`,
    );
  }
  return undefined;
}

/** The configuration file, else the embedded configuration. */
function readConfig(places: readonly string[], image: KernelImage): string {
  const all = places.flatMap((path) => [join(dirname(path), `config-${image.version}`), path]);
  const path = all.find((place) => existsSync(place));
  if (path === undefined || statSync(path).size > MAX_CONFIG_BYTES) return image.config ?? "";
  return readFileSync(path, "utf8");
}
