/** Creates a kernel bundle from a Debian package, without installing it. */
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
} from "node:fs";
import { join } from "node:path";
import { BangerError } from "#base/error.ts";
import type { OnProgress } from "#base/progress.ts";
import { runOk } from "#base/run.ts";
import { downloadPackage } from "./apt.ts";
import type { AptPackage } from "./apt-cache.ts";
import { featuresOf, MAX_CONFIG_BYTES, writeConfig } from "./features.ts";
import { readKernelImage, writeKernelImage } from "./image.ts";
import type { FilledManifest } from "./manifest.ts";
import { copyBootModules, copyCommonModules } from "./module-set.ts";
import { openModuleTree } from "./modules.ts";

const UNPACK_TIMEOUT_MS = 10 * 60_000;

export interface DebianOptions {
  name: string;
  distro: string;
  /** Directory of downloaded packages. */
  cache?: string | undefined;
  signal?: AbortSignal | undefined;
  onProgress?: OnProgress | undefined;
}

/** Fills the staging directory of a bundle from a package. */
export async function fillFromDebian(
  wanted: AptPackage,
  staging: string,
  options: DebianOptions,
): Promise<FilledManifest> {
  const { signal, onProgress } = options;
  const scratch = join(staging, ".scratch");
  const download = join(scratch, "download");
  const root = join(scratch, "root");
  mkdirSync(download, { recursive: true });
  const deb = await downloadPackage(wanted, download, options);
  onProgress?.({ step: "unpack", message: `Unpacking ${wanted.file}` });
  await runOk(["dpkg-deb", "-x", deb, root], { signal, timeout_ms: UNPACK_TIMEOUT_MS });
  const vmlinuz = findOne(join(root, "boot"), /^vmlinu[xz]-/, wanted.name);
  const image = await readKernelImage(vmlinuz, signal);
  const digest = writeKernelImage(image, staging);
  onProgress?.({ step: "modules", message: `Choosing modules for ${image.version}` });
  const tree = openModuleTree(moduleRoot(root, image.version));
  const modules = await copyBootModules(tree, staging, { signal });
  await copyCommonModules(tree, staging, { signal, onProgress, release: image.version });
  const config = readConfig(join(root, "boot", `config-${image.version}`)) ?? image.config ?? "";
  writeConfig(config, staging);
  rmSync(scratch, { recursive: true, force: true });
  const { name, version, sha256 } = wanted;
  return {
    schema: 1,
    name: options.name,
    distro: options.distro,
    arch: image.arch,
    version: image.version,
    format: image.format,
    sha256: digest,
    source: { kind: "debian", package: name, version, sha256 },
    importedAt: new Date().toISOString(),
    features: featuresOf(config),
    modules,
    initrd: false,
  };
}

function findOne(folder: string, pattern: RegExp, packageName: string): string {
  const found = existsSync(folder) ? readdirSync(folder).filter((name) => pattern.test(name)) : [];
  const path = join(folder, found[0] ?? "");
  if (found.length === 1 && lstatSync(path).isFile()) return path;
  throw new BangerError(
    "integrity",
    `Cannot use package "${packageName}": it contains ${found.length} kernels`,
  );
}

/** Debian moved modules from /lib to /usr/lib. */
function moduleRoot(root: string, release: string): string {
  const places = ["lib/modules", "usr/lib/modules"].map((place) => join(root, place, release));
  return places.find((place) => existsSync(place)) ?? join(root, "lib/modules", release);
}

function readConfig(path: string): string | undefined {
  if (!existsSync(path) || statSync(path).size > MAX_CONFIG_BYTES) return undefined;
  return readFileSync(path, "utf8");
}
