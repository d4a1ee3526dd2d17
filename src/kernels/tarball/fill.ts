/** Creates a kernel bundle from an archive of a catalog. */
import { existsSync, lstatSync, readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { hexOf } from "#base/digest.ts";
import { BangerError } from "#base/error.ts";
import type { OnProgress } from "#base/progress.ts";
import { type HttpFile, streamHttpFile } from "#blobs/http-file.ts";
import { MAX_KERNEL_BYTES } from "#kernels/bzimage.ts";
import { embeddedConfig, featuresOf, MAX_CONFIG_BYTES, writeConfig } from "#kernels/features.ts";
import { readKernelImage, writeKernelImage } from "#kernels/image.ts";
import { ElfInspector, inspectFile } from "#kernels/kernel-file.ts";
import {
  type Arch,
  type BootModule,
  type FilledManifest,
  MAX_MANIFEST_BYTES,
  type Manifest,
  manifestSchema,
} from "#kernels/manifest.ts";
import { copyBootModules } from "#kernels/module-set.ts";
import { openModuleTree } from "#kernels/modules.ts";
import { unpackArchive } from "./unpack.ts";

const KERNEL_FILES = ["vmlinux", "vmlinuz", "bzImage", "Image"];

type StoredKernel = Pick<Manifest, "arch" | "version" | "format" | "sha256"> & {
  /** The embedded configuration, if there is no config file. */
  config: string | undefined;
};

export interface TarballEntry {
  name: string;
  distro: string;
  arch: Arch;
  source: HttpFile & { unpacked_bytes?: number | undefined };
}

export interface FillOptions {
  /** Directory for partial downloads, so that an interrupted pull resumes. */
  cache: string;
  signal?: AbortSignal | undefined;
  onProgress?: OnProgress | undefined;
  retryDelay_ms?: number | undefined;
}

/** Downloads, verifies, decompresses and unpacks in one pass, then validates the result. */
export async function fillFromTarball(
  entry: TarballEntry,
  staging: string,
  options: FillOptions,
): Promise<FilledManifest> {
  const { name, distro, source } = entry;
  const { signal, onProgress } = options;
  const stream = streamHttpFile(source, {
    ...options,
    onAdvance: (done) => {
      const message = `Downloading ${name}`;
      onProgress?.({ step: "download", message, done, total: source.size_bytes, unit: "bytes" });
    },
  });
  const inspector = new ElfInspector();
  const watch = { path: "vmlinux", take: (bytes: Uint8Array) => inspector.take(bytes) };
  await unpackArchive(stream, staging, { ...source, watch, signal });
  // Only its files are kept.
  rmSync(join(options.cache, "sha256", hexOf(source.sha256)), { force: true });
  onProgress?.({ step: "check", message: `Checking ${name}` });
  const packed = readPackedManifest(staging);
  const kernel = await storeOnlyKernel(entry, staging, { inspector, signal });
  const modules = await bootModules(packed, kernel.version, staging, signal);
  const config = readConfig(staging) ?? kernel.config ?? "";
  rmSync(join(staging, "config"), { force: true });
  writeConfig(config, staging);
  if (packed && packed.sha256 !== kernel.sha256) {
    const text = `Cannot use kernel "${name}": the manifest in the archive does not match the kernel file`;
    throw new BangerError("integrity", text);
  }
  return {
    schema: 1,
    name,
    distro,
    arch: kernel.arch,
    version: kernel.version,
    format: kernel.format,
    sha256: kernel.sha256,
    source: { kind: "tarball", url: source.url, sha256: source.sha256 },
    importedAt: new Date().toISOString(),
    features: featuresOf(config),
    modules,
    initrd: isFile(join(staging, "initrd.img")),
  };
}

/** The archive's manifest; fields that can be read from the kernel itself are ignored. */
function readPackedManifest(staging: string): Manifest | undefined {
  const path = join(staging, "manifest.json");
  if (!existsSync(path)) return undefined;
  const isFit = isFile(path) && lstatSync(path).size <= MAX_MANIFEST_BYTES;
  const text = isFit ? readFileSync(path, "utf8") : "";
  rmSync(path, { recursive: true });
  try {
    return manifestSchema.parse(JSON.parse(text));
  } catch (cause) {
    const why = 'Cannot unpack "manifest.json": not a kernel manifest';
    throw new BangerError("integrity", why, { cause });
  }
}

interface StoreOptions {
  /** The inspector of "vmlinux". */
  inspector: ElfInspector;
  signal: AbortSignal | undefined;
}

/** Stores the archive's kernel in the format that boots fastest. */
async function storeOnlyKernel(
  { name, arch }: TarballEntry,
  staging: string,
  options: StoreOptions,
): Promise<StoredKernel> {
  const found = KERNEL_FILES.filter((file) => isFile(join(staging, file)));
  const [file] = found;
  if (file === undefined || found.length > 1) {
    const what = file === undefined ? "no vmlinux" : found.join(" and ");
    throw new BangerError("integrity", `Cannot use kernel "${name}": its archive has ${what}`);
  }
  const kept = await storeKernel(file, staging, options).catch((cause) => {
    if (!(cause instanceof BangerError)) throw cause;
    const why = cause.message.split(": ").slice(1).join(": ");
    throw new BangerError(cause.code, `Cannot use "${file}" of kernel "${name}": ${why}`, {
      cause,
    });
  });
  if (kept.arch === arch) return kept;
  throw new BangerError(
    "integrity",
    `Cannot use "${file}" of kernel "${name}": architecture is ${kept.arch}, the catalog says ${arch}`,
  );
}

async function storeKernel(
  file: string,
  staging: string,
  { inspector, signal }: StoreOptions,
): Promise<StoredKernel> {
  const path = join(staging, file);
  if (file === "vmlinux") {
    // A hard link has no data that the inspector could have seen.
    const hasPassed = inspector.size_bytes === statSync(path).size;
    const elf = (hasPassed ? inspector : inspectFile(path)).result(path);
    const config = existsSync(join(staging, "config")) ? undefined : configInside(path);
    if (elf) return { ...elf, format: "elf", config };
  }
  const image = await readKernelImage(path, signal);
  rmSync(path);
  return { ...image, sha256: writeKernelImage(image, staging) };
}

async function bootModules(
  packed: Manifest | undefined,
  version: string,
  staging: string,
  signal: AbortSignal | undefined,
): Promise<BootModule[]> {
  if (!packed) {
    const tree = openModuleTree(join(staging, "modules", version));
    return await copyBootModules(tree, staging, { signal });
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

/** Does not follow links. */
function isFile(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
}

function configInside(path: string): string | undefined {
  return statSync(path).size <= MAX_KERNEL_BYTES ? embeddedConfig(readFileSync(path)) : undefined;
}
