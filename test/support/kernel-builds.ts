/**
 * Linux itself, compiled, which takes minutes: what was compiled is kept in build/cache, and compiled
 * again only when its recipe, its source or the compiler changed. BANGER_TEST_KERNELS says how much:
 *
 *     (unset)  none
 *     one      generic-6.12, for the architecture of the host
 *     all      every recipe for each of its architectures, one of them twice
 */
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type BuildOptions, type Built, buildKernel } from "#kernels/recipe/build.ts";
import { ROOT } from "./tree.ts";

export const COMPILE_TIMEOUT_MS = 3 * 60 * 60_000;

const wanted = process.env["BANGER_TEST_KERNELS"] ?? "";
if (!["", "one", "all"].includes(wanted)) {
  throw new Error(`BANGER_TEST_KERNELS is "${wanted}": expected "one" or "all"`);
}

/** Whether kernels may be compiled in this run. */
export const mayCompile = wanted !== "";
/** Whether all of them are. */
export const compilesAll = wanted === "all";

const CACHE = join(ROOT, "build/cache");

/** For an installation's cache folder as well: what is built there is found by the next run. */
export const kernelCache = {
  builds: join(CACHE, "kernel-builds"),
  downloads: join(CACHE, "downloads"),
};

export async function compiled(
  recipe: string,
  options: Pick<BuildOptions, "dir"> & Partial<BuildOptions>,
): Promise<Built> {
  mkdirSync(kernelCache.downloads, { recursive: true });
  return await buildKernel(recipe, { ...kernelCache, ...options });
}

/** Whether compiling a kernel of this family would only take what an earlier run left. */
export function isCompiled(family: string): boolean {
  if (!existsSync(kernelCache.builds)) return false;
  return readdirSync(kernelCache.builds)
    .filter((name) => /^[0-9a-f]{64}$/.test(name))
    .map((name) => join(kernelCache.builds, name, "config"))
    .some((path) => existsSync(path) && readFileSync(path, "utf8").includes(`="-${family}"`));
}
