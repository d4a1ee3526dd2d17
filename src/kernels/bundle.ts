/**
 * Kernel bundles on disk: one directory per kernel, named after it.
 *
 *     vmlinux | vmlinuz | Image   the kernel, in the manifest's `format`
 *     manifest.json
 *     config              the build configuration, if known
 *     boot/NAME.ko        modules for the boot, uncompressed
 *     modules/RELEASE/    the modules, if there are any, as the package has them
 *     modules.ext4        /lib/modules/RELEASE in the guest, made of them
 *     initrd.img          an imported initrd
 */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { BangerError } from "#base/error.ts";
import { STAGING_MARK, stagingPath } from "#base/files/atomic.ts";
import { exchange } from "#base/files/exchange.ts";
import { walk } from "#base/files/walk.ts";
import type { WorkOptions } from "#base/progress.ts";
import { didYouMean } from "#base/similar.ts";
import {
  type FilledManifest,
  MAX_MANIFEST_BYTES,
  type Manifest,
  manifestSchema,
  nameSchema,
} from "./manifest.ts";
import { writeModuleImage } from "./module-image/write.ts";

export interface Bundle {
  /** Absolute path of its directory. */
  path: string;
  manifest: Manifest;
}

const kernelFiles: Record<Manifest["format"], string> = {
  elf: "vmlinux",
  bzImage: "vmlinuz",
  Image: "Image",
};

/** The kernel's file in a bundle. */
export function kernelFile(format: Manifest["format"]): string {
  return kernelFiles[format];
}

/** The file system with the kernel's modules in a bundle. */
export function moduleImageFile(bundle: string): string {
  return join(bundle, "modules.ext4");
}

/** Makes it of `bundle`/modules/`release`. Undefined for a kernel without modules. */
export async function makeModuleImage(
  bundle: string,
  release: string,
  options: WorkOptions = {},
): Promise<string | undefined> {
  const path = moduleImageFile(bundle);
  const root = join(bundle, "modules", release);
  return (await writeModuleImage(root, path, options)) ? path : undefined;
}

/** Rejects invalid names, path traversal included. */
export function parseKernelName(name: string): string {
  if (nameSchema.safeParse(name).success) return name;
  const shown = JSON.stringify(name.slice(0, 80));
  throw new BangerError("invalid_argument", `invalid kernel name ${shown}`, {
    hint: "Use at most 63 lower-case letters, digits, dots and dashes",
  });
}

/** Every readable bundle in `dir`, by name. Directories without a valid manifest are ignored. */
export function listBundles(dir: string): Bundle[] {
  return bundleNames(dir).flatMap((name) => tryRead(dir, name) ?? []);
}

/** `not_found` with similar names, also for an invalid name. */
function pathOf(dir: string, name: string): string {
  if (nameSchema.safeParse(name).success && existsSync(join(dir, name))) return join(dir, name);
  const shown = JSON.stringify(name.slice(0, 80));
  throw new BangerError("not_found", `no such kernel ${shown}`, {
    hint: didYouMean(
      name,
      bundleNames(dir),
      "List available kernels with: banger kernel list --available",
    ),
  });
}

/** `not_found`; `integrity` if its manifest or kernel is corrupt. */
export function readBundle(dir: string, name: string): Bundle {
  const path = pathOf(dir, name);
  try {
    const manifest = readManifest(path);
    const { size } = statSync(join(path, kernelFile(manifest.format)));
    if (size !== (manifest.kernel_bytes ?? size)) throw new Error(`its kernel has ${size} bytes`);
    return { path, manifest };
  } catch (cause) {
    throw new BangerError("integrity", `Cannot read kernel "${name}": corrupt bundle`, {
      hint: `banger kernel pull --force ${name}`,
      cause,
    });
  }
}

/** Undefined if it is missing or unreadable. */
export function tryRead(dir: string, name: string): Bundle | undefined {
  try {
    return readBundle(dir, name);
  } catch {
    return undefined;
  }
}

/**
 * Creates the bundle `name` in a staging directory, with the image of its modules, and renames it into place, atomically
 * replacing an existing one. `fill` returns the manifest.
 */
export async function placeBundle(
  dir: string,
  name: string,
  fill: (staging: string) => Promise<FilledManifest>,
  options: WorkOptions = {},
): Promise<Bundle> {
  const path = join(dir, parseKernelName(name));
  const staging = stagingPath(path);
  mkdirSync(staging, { recursive: true, mode: 0o700 });
  try {
    const filled = await fill(staging);
    await rm(moduleImageFile(staging), { recursive: true, force: true });
    await makeModuleImage(staging, filled.version, options);
    const { size: kernel_bytes } = statSync(join(staging, kernelFile(filled.format)));
    const size_bytes = diskUsage(staging);
    const whole = manifestSchema.parse({ ...filled, size_bytes, kernel_bytes });
    const text = `${JSON.stringify(whole, undefined, 2)}\n`;
    // Not synced: a kernel can be downloaded again, and readBundle detects an incomplete one.
    writeFileSync(join(staging, "manifest.json"), text, { mode: 0o644 });
    if (existsSync(path)) exchange(staging, path);
    else renameSync(staging, path);
    return { path, manifest: whole };
  } finally {
    // The incomplete bundle after a failure, the old one after an exchange.
    await rm(staging, { recursive: true, force: true });
  }
}

export async function removeBundle(dir: string, name: string): Promise<void> {
  const path = pathOf(dir, name);
  const doomed = stagingPath(path);
  renameSync(path, doomed);
  await rm(doomed, { recursive: true, force: true });
}

/** Removes leftovers of interrupted pulls and removals. Call only when none is running. */
export async function sweepStaging(dir: string, prefix = ""): Promise<void> {
  if (!existsSync(dir)) return;
  for (const entry of readdirSync(dir)) {
    if (entry.startsWith(`${STAGING_MARK}${prefix}`)) {
      await rm(join(dir, entry), { recursive: true, force: true });
    }
  }
}

/** Disk usage of all files below `path`. */
export function diskUsage(path: string): number {
  let sum = 0;
  for (const found of walk(path)) {
    if (found.entry.isFile()) sum += statSync(join(path, found.path)).blocks * 512;
  }
  return sum;
}

/** Names of all bundles, unreadable ones included. */
export function bundleNames(dir: string): string[] {
  if (!existsSync(dir)) return [];
  return readdirSync(dir, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && nameSchema.safeParse(entry.name).success)
    .map(({ name }) => name)
    .sort();
}

function readManifest(path: string): Manifest {
  const file = join(path, "manifest.json");
  if (statSync(file).size > MAX_MANIFEST_BYTES) {
    throw new BangerError("integrity", `Cannot read "${file}": too large`);
  }
  return manifestSchema.parse(JSON.parse(readFileSync(file, "utf8")));
}
