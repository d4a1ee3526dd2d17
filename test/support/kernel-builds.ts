/**
 * Linux itself, compiled: only where BANGER_TEST_KERNELS=1 asks for it, since that takes minutes.
 * What was compiled is kept in build/cache, and compiled again only when its recipe, its source or
 * the compiler changed.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { type BuildOptions, type Built, buildKernel } from "#kernels/recipe/build.ts";
import { ROOT } from "./tree.ts";

export const COMPILE_TIMEOUT_MS = 3 * 60 * 60_000;

/** Whether kernels may be compiled in this run. */
export const mayCompile = process.env["BANGER_TEST_KERNELS"] === "1";

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
