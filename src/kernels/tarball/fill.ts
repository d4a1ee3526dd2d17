/** A kernel bundle from an archive of the catalog. */
import { existsSync, lstatSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { hexOf, sha256 } from "#base/digest.ts";
import { BangerError } from "#base/error.ts";
import type { OnProgress } from "#base/progress.ts";
import { diskUsage, kernelFile } from "#kernels/bundle.ts";
import { featuresOf, keepConfig, MAX_CONFIG_BYTES } from "#kernels/features.ts";
import { type HttpFile, streamHttpFile } from "#kernels/http-file.ts";
import { type KernelImage, keepKernelImage, readKernelImage } from "#kernels/image.ts";
import {
  type Arch,
  type BootModule,
  MAX_MANIFEST_BYTES,
  type Manifest,
  manifestSchema,
} from "#kernels/manifest.ts";
import { keepBootModules } from "#kernels/module-set.ts";
import { openModuleTree } from "#kernels/modules.ts";
import { unpackArchive } from "./unpack.ts";

export interface TarballEntry {
  name: string;
  distro: string;
  arch: Arch;
  source: HttpFile & { unpacked_bytes?: number | undefined };
}

export interface FillOptions {
  /** Folder for what has arrived, so that a pull that was cut goes on from there. */
  cache: string;
  signal?: AbortSignal | undefined;
  onProgress?: OnProgress | undefined;
  retryDelay_ms?: number | undefined;
}

/** Fetches, hashes, decompresses and unpacks in one pass, then looks at what has come. */
export async function fillFromTarball(
  entry: TarballEntry,
  staging: string,
  options: FillOptions,
): Promise<Manifest> {
  const { name, distro, source } = entry;
  const { signal, onProgress } = options;
  const stream = streamHttpFile(source, {
    ...options,
    onAdvance: (done) => {
      const message = `Downloading ${name}`;
      onProgress?.({ step: "download", message, done, total: source.size_bytes, unit: "bytes" });
    },
  });
  await unpackArchive(stream, staging, { ...source, signal });
  // Its files are what is kept of it.
  rmSync(join(options.cache, "sha256", hexOf(source.sha256)), { force: true });
  onProgress?.({ step: "check", message: `Checking ${name}` });
  const packed = readPackedManifest(staging);
  const image = await readOnlyKernel(entry, staging, signal);
  const modules = await bootModules(packed, image, staging, signal);
  const config = readConfig(staging) ?? image.config ?? "";
  rmSync(join(staging, "config"), { force: true });
  keepConfig(config, staging);
  const digest = replaceKernel(image, staging);
  if (packed && packed.sha256 !== digest) {
    const text = `Cannot use kernel "${name}": its archive's manifest is for another kernel file`;
    throw new BangerError("integrity", text);
  }
  return {
    schema: 1,
    name,
    distro,
    arch: image.arch,
    version: image.version,
    format: image.format,
    sha256: digest,
    source: { kind: "tarball", url: source.url, sha256: source.sha256 },
    importedAt: new Date().toISOString(),
    features: featuresOf(config),
    modules,
    initrd: isFile(join(staging, "initrd.img")),
    size_bytes: diskUsage(staging),
  };
}

/** The manifest that the archive brings; what can be read off the kernel itself is not taken from it. */
function readPackedManifest(staging: string): Manifest | undefined {
  const path = join(staging, "manifest.json");
  if (!existsSync(path)) return undefined;
  const isFit = isFile(path) && lstatSync(path).size <= MAX_MANIFEST_BYTES;
  const text = isFit ? readFileSync(path, "utf8") : "";
  rmSync(path, { recursive: true });
  try {
    return manifestSchema.parse(JSON.parse(text));
  } catch (cause) {
    const why = 'Cannot unpack "manifest.json": it is no manifest of a kernel';
    throw new BangerError("integrity", why, { cause });
  }
}

async function readOnlyKernel(
  { name, arch }: TarballEntry,
  staging: string,
  signal: AbortSignal | undefined,
): Promise<KernelImage> {
  const files = ["vmlinux", "vmlinuz", "bzImage", "Image"];
  const found = files.filter((file) => isFile(join(staging, file)));
  const [file] = found;
  if (file === undefined || found.length > 1) {
    const what = file === undefined ? "no vmlinux" : `${found.join(" and ")}`;
    throw new BangerError("integrity", `Cannot use kernel "${name}": its archive has ${what}`);
  }
  const image = await readKernelImage(join(staging, file), signal).catch((cause) => {
    if (!(cause instanceof BangerError)) throw cause;
    const why = cause.message.split(": ").slice(1).join(": ");
    throw new BangerError(cause.code, `Cannot use "${file}" of kernel "${name}": ${why}`, {
      cause,
    });
  });
  if (image.arch === arch) return image;
  throw new BangerError(
    "integrity",
    `Cannot use "${file}" of kernel "${name}": it is for ${image.arch}, the catalog says ${arch}`,
  );
}

/** The file stays as it was unpacked, unless it is kept in another form. */
function replaceKernel(image: KernelImage, staging: string): Manifest["sha256"] {
  for (const file of ["vmlinux", "vmlinuz", "bzImage", "Image"]) {
    if (file !== kernelFile(image.format)) rmSync(join(staging, file), { force: true });
  }
  if (existsSync(join(staging, kernelFile(image.format)))) return sha256(image.bytes);
  return keepKernelImage(image, staging);
}

async function bootModules(
  packed: Manifest | undefined,
  image: KernelImage,
  staging: string,
  signal: AbortSignal | undefined,
): Promise<BootModule[]> {
  if (!packed) {
    const tree = openModuleTree(join(staging, "modules", image.version));
    return await keepBootModules(tree, staging, { signal });
  }
  for (const { name, file } of packed.modules) {
    if (isFile(join(staging, file))) continue;
    const text = `Cannot use module "${name}": the archive has no file "${file}"`;
    throw new BangerError("integrity", text);
  }
  return packed.modules;
}

function readConfig(staging: string): string | undefined {
  const path = join(staging, "config");
  if (!isFile(path) || lstatSync(path).size > MAX_CONFIG_BYTES) return undefined;
  return readFileSync(path, "utf8");
}

/** Not what a link leads to. */
function isFile(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
}
