/** The kernel that boots fastest in a machine in a machine. */
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { kernelCache } from "./kernel-builds.ts";
import { pulledKernel } from "./pulled-kernel.ts";

const FILES = ["vmlinux", "config", "modules"];

export interface SmallKernel {
  folder: string;
  /** What `banger kernel import` wants of it. */
  files: string[];
  /** Everything that a machine needs is built in. */
  isWhole: boolean;
}

/** Compiled from a recipe if it was (see kernel-builds.ts), else Debian's. */
export async function smallKernel(): Promise<SmallKernel> {
  mkdirSync(kernelCache.builds, { recursive: true });
  const built = readdirSync(kernelCache.builds)
    .filter((name) => /^[0-9a-f]{64}$/.test(name))
    .map((name) => join(kernelCache.builds, name))
    .find((path) => existsSync(join(path, "vmlinux")));
  const folder = built ?? (await pulledKernel());
  const files = FILES.map((name) => join(folder, name)).filter((path) => existsSync(path));
  return { folder, files, isWhole: built !== undefined };
}
