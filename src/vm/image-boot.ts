/** What a machine boots from its image: kernel files, and layers over the rootfs. */
import { existsSync, linkSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Image } from "#api/image.ts";
import { copySparse } from "#base/files/copy-file.ts";
import { moduleImageId } from "#kernels/module-image/write.ts";
import type { BootKernel } from "#kernels/service.ts";
import { unpackagedBoot } from "#kernels/unpackaged.ts";
import type { VmDeps } from "./deps.ts";
import type { VmRecord } from "./records.ts";

/** In place of a kernel's name: the file that came with the image. No kernel has a name with a colon. */
export const IMAGE_KERNEL = "image:";

export function isImageKernel(kernel: string): boolean {
  return kernel.startsWith(IMAGE_KERNEL);
}

/** The name under which a machine of an image with a kernel file of its own is entered. */
export function imageKernelName(image: Image): string | undefined {
  return image.files.kernel && `${IMAGE_KERNEL}${image.name}`;
}

/** `vm`'s runtime folder is there already. */
export async function bootKernel(
  deps: VmDeps,
  vm: VmRecord,
  options: { image: Image; vsock: boolean; signal?: AbortSignal | undefined },
): Promise<BootKernel> {
  const { vsock, signal } = options;
  const { kernel, initrd, modules } = options.image.files;
  if (!isImageKernel(vm.kernel) || !kernel) return await deps.kernels.boot(vm.kernel, { vsock });
  const folder = join(deps.config.paths.vm(vm.id).runtime, "kernel");
  return await unpackagedBoot({ kernel, initrd, modules }, { folder, vsock, signal });
}

/** Read-only disks over the rootfs, each above the one before. */
export function lowersOf({ images }: VmDeps, { spec }: VmRecord, image: Image): string[] {
  const { workSeed } = image.files;
  return [
    ...(spec.provisioned ? [images.provisioned.pathOf(image.id, spec.provisioned)] : []),
    ...(workSeed ? [workSeed] : []),
  ];
}

/**
 * The disk with the kernel's modules, undefined if there are none. Memory has files of it open, so a machine that goes
 * on from its own memory keeps the one that it booted with.
 */
export async function moduleDisk(
  { config }: VmDeps,
  { id }: VmRecord,
  options: {
    kernel: BootKernel;
    /** The memory of another machine or of a snapshot. Earlier versions had no such disk. */
    source: { modules: string | undefined } | undefined;
    isWoken: boolean;
  },
): Promise<string | undefined> {
  const { modules } = config.paths.vm(id);
  const { kernel, source, isWoken } = options;
  if (isWoken) return existsSync(modules) ? modules : undefined;
  rmSync(modules, { force: true });
  if (!kernel.moduleImage || (source && !source.modules)) return undefined;
  try {
    linkSync(kernel.moduleImage, modules);
  } catch {
    // Another file system.
    await copySparse(kernel.moduleImage, modules);
  }
  return modules;
}

/** Identifies the content of a machine's disk with modules. */
export function modulesOf({ config }: VmDeps, { id }: VmRecord): string | undefined {
  const { modules } = config.paths.vm(id);
  return existsSync(modules) ? moduleImageId(modules) : undefined;
}

/** Archives that follow each other start at multiples of 4 bytes; later files take the place of earlier ones. */
export function inFrontOf(initrd: string | undefined, own: Uint8Array): Uint8Array {
  if (!initrd) return own;
  const theirs = readFileSync(initrd);
  const start = Math.ceil(theirs.length / 4) * 4;
  const all = new Uint8Array(start + own.length);
  all.set(theirs);
  all.set(own, start);
  return all;
}
