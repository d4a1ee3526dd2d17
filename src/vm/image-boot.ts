/** What a machine boots from its image: kernel files, and layers over the rootfs. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Image } from "#api/image.ts";
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
