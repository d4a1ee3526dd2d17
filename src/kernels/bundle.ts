/**
 * Kernel bundles on disk: one folder for each, named after the kernel.
 *
 *     vmlinux | vmlinuz | Image   the kernel, as the manifest's `format` says
 *     manifest.json
 *     config              the configuration that it was built with, where that is known
 *     boot/NAME.ko        modules that a boot needs, uncompressed
 *     modules/RELEASE/    what a guest finds as /lib/modules/RELEASE, where there are modules
 *     initrd.img          the user's own, where one was imported
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
import { didYouMean } from "#base/similar.ts";
import { MAX_MANIFEST_BYTES, type Manifest, manifestSchema, nameSchema } from "./manifest.ts";

export interface Bundle {
  /** Absolute path of its folder. */
  path: string;
  manifest: Manifest;
}

const kernelFiles: Record<Manifest["format"], string> = {
  elf: "vmlinux",
  bzImage: "vmlinuz",
  Image: "Image",
};

/** File of the kernel inside a bundle. */
export function kernelFile(format: Manifest["format"]): string {
  return kernelFiles[format];
}

/** Refuses a name that is no kernel name, and so whatever would leave the folder. */
export function parseKernelName(name: string): string {
  if (nameSchema.safeParse(name).success) return name;
  const shown = JSON.stringify(name.slice(0, 80));
  throw new BangerError("invalid_argument", `invalid kernel name ${shown}`, {
    hint: "Use at most 63 lower-case letters, digits, dots and dashes",
  });
}

/** Every readable bundle in `dir`, by name. A folder without a valid manifest is none. */
export function listBundles(dir: string): Bundle[] {
  return bundleNames(dir).flatMap((name) => tryRead(dir, name) ?? []);
}

/** `not_found` with the nearest names, also for what could be no name. */
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

/** `not_found`; `integrity` when its manifest or kernel is unusable. */
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

/** Undefined when there is none, or none that can be read. */
export function tryRead(dir: string, name: string): Bundle | undefined {
  try {
    return readBundle(dir, name);
  } catch {
    return undefined;
  }
}

/**
 * Builds a bundle in a staging folder and puts it in the place of `name`, whole or not at all;
 * a bundle that was there is replaced in one step. `fill` gives the manifest.
 */
export async function placeBundle(
  dir: string,
  name: string,
  fill: (staging: string) => Promise<Manifest>,
): Promise<Bundle> {
  const path = join(dir, parseKernelName(name));
  const staging = stagingPath(path);
  mkdirSync(staging, { recursive: true, mode: 0o700 });
  try {
    const manifest = manifestSchema.parse(await fill(staging));
    const kernel = join(staging, kernelFile(manifest.format));
    const whole = { ...manifest, kernel_bytes: statSync(kernel).size };
    const text = `${JSON.stringify(whole, undefined, 2)}\n`;
    // Nothing is synced: a kernel can be had again, and readBundle sees what is not whole.
    writeFileSync(join(staging, "manifest.json"), text, { mode: 0o644 });
    if (existsSync(path)) exchange(staging, path);
    else renameSync(staging, path);
    return { path, manifest: whole };
  } finally {
    // The half-made bundle after a failure, the old one after an exchange.
    await rm(staging, { recursive: true, force: true });
  }
}

export async function removeBundle(dir: string, name: string): Promise<void> {
  const path = pathOf(dir, name);
  const doomed = stagingPath(path);
  renameSync(path, doomed);
  await rm(doomed, { recursive: true, force: true });
}

/** Removes what pulls and removals that were cut short left. Only when none is under way. */
export async function sweepStaging(dir: string, prefix = ""): Promise<void> {
  if (!existsSync(dir)) return;
  for (const entry of readdirSync(dir)) {
    if (entry.startsWith(`${STAGING_MARK}${prefix}`)) {
      await rm(join(dir, entry), { recursive: true, force: true });
    }
  }
}

/** What all files below `path` take on disk. */
export function diskUsage(path: string): number {
  let sum = 0;
  for (const found of walk(path)) {
    if (found.entry.isFile()) sum += statSync(join(path, found.path)).blocks * 512;
  }
  return sum;
}

/** Names of the bundles, whether they can be read or not. */
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
