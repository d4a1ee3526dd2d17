import type { Vm } from "#api/vm.ts";
import { BangerError } from "#base/error.ts";

export function assertRunning(vm: Pick<Vm, "name" | "state">): void {
  if (vm.state === "running") return;
  throw new BangerError("invalid_state", `Cannot log in to "${vm.name}": it is ${vm.state}`, {
    hint: `Start it with: banger vm start ${vm.name}`,
  });
}
