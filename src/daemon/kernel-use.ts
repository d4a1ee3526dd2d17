/** Refuses to remove a kernel in use, unless forced. */
import type { Image } from "#api/image.ts";
import type { Vm } from "#api/vm.ts";
import { BangerError } from "#base/error.ts";

export interface KernelUsers {
  images: readonly Image[];
  vms: readonly Vm[];
  /** Name of the kernel that new machines get. */
  fallback: string | undefined;
}

export function assertUnused(kernel: string, { images, vms, fallback }: KernelUsers): void {
  const users = [
    ...(fallback === kernel ? ["new machines (default kernel)"] : []),
    ...images.filter((image) => image.kernel === kernel).map(({ name }) => `image ${name}`),
    ...vms.filter((vm) => vm.kernel === kernel).map(({ name }) => `machine ${name}`),
  ];
  if (users.length === 0) return;
  throw new BangerError(
    "invalid_state",
    `Cannot remove kernel "${kernel}": in use by ${users.join(", ")}`,
    {
      hint: `Force removal with: banger kernel rm --force ${kernel}`,
    },
  );
}
