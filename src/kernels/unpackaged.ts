/** Prepares an unpackaged kernel, in the user's own files, for one boot. */
import { existsSync, mkdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { type Digest, sha256 } from "#base/digest.ts";
import { kernelFile, moduleImageFile } from "./bundle.ts";
import { type KernelImage, readKernelImage, writeKernelImage } from "./image.ts";
import { findModules } from "./import.ts";
import { unpackInitrdModules } from "./initrd-modules.ts";
import { writeModuleImage } from "./module-image/write.ts";
import { copyBootModules } from "./module-set.ts";
import { openModuleTree } from "./modules.ts";
import type { BootKernel } from "./service.ts";

export interface UnpackagedKernel {
  /** A vmlinux or bzImage. */
  kernel: string;
  initrd?: string | undefined;
  /** "/lib/modules", or the directory of one release in it. */
  modules?: string | undefined;
}

export interface UnpackagedOptions {
  /** Directory for unpacked files, which the caller removes. */
  folder: string;
  vsock: boolean;
  signal?: AbortSignal | undefined;
}

/**
 * The kernel file, unchanged if a VMM can load it, with the boot modules from the modules directory or else from the
 * initrd. `integrity` if they are for another kernel.
 */
export async function unpackagedBoot(
  files: UnpackagedKernel,
  options: UnpackagedOptions,
): Promise<BootKernel> {
  const { folder, vsock, signal } = options;
  const image = await readKernelImage(files.kernel, signal);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const root = await moduleRoot(files, image, options);
  const kept = await copyBootModules(openModuleTree(root ?? join(folder, "none")), folder, {
    signal,
  });
  const modules = kept.filter(({ only }) => only !== "vsock" || vsock);
  return {
    path: pathOf(files.kernel, image, folder),
    digest: digestOf(files, vsock),
    modules: modules.map(({ name, file }) => ({ name, path: join(folder, file) })),
    moduleImage: files.modules && root ? await imageOf(root, folder, signal) : undefined,
    initrd: files.initrd,
  };
}

async function imageOf(
  root: string,
  folder: string,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  const path = moduleImageFile(folder);
  return (await writeModuleImage(root, path, { signal })) ? path : undefined;
}

/** Decompresses a bzImage whose ELF file boots faster, or at all. */
function pathOf(path: string, image: KernelImage, folder: string): string {
  if (image.isAsInFile) return path;
  writeKernelImage(image, folder);
  return join(folder, kernelFile(image.format));
}

async function moduleRoot(
  { modules, initrd }: UnpackagedKernel,
  image: KernelImage,
  { folder, signal }: UnpackagedOptions,
): Promise<string | undefined> {
  if (modules) return findModules([modules], image);
  if (!initrd) return undefined;
  const target = join(folder, "initrd-modules");
  await unpackInitrdModules(initrd, { target, signal });
  return existsSync(target) ? findModules([target], image) : undefined;
}

/** Changes with the size or mtime of a file. */
function digestOf(files: UnpackagedKernel, vsock: boolean): Digest {
  const parts = [files.kernel, files.initrd, files.modules].map((path) => {
    if (!path) return "";
    const { mtimeMs, size, ino } = statSync(path);
    return `${path} ${mtimeMs} ${size} ${ino}`;
  });
  return sha256(JSON.stringify([parts, vsock]));
}
