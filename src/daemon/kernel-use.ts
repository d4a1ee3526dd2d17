/** A kernel that something boots from is not removed without saying so. */
import type { Image } from "#api/image.ts";
import type { Vm } from "#api/vm.ts";
import { BangerError } from "#base/error.ts";

export function assertUnused(kernel: string, images: readonly Image[], vms: readonly Vm[]): void {
  const users = [
    ...images.filter((image) => image.kernel === kernel).map(({ name }) => `image ${name}`),
    ...vms.filter((vm) => vm.kernel === kernel).map(({ name }) => `machine ${name}`),
  ];
  if (users.length === 0) return;
  throw new BangerError(
    "invalid_state",
    `Cannot remove kernel "${kernel}": used by ${users.join(", ")}`,
    {
      hint: `Remove it all the same with: banger kernel rm --force ${kernel}`,
    },
  );
}
