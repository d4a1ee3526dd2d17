import type { Vm, VmState } from "#api/vm.ts";
import { BangerError } from "#base/error.ts";

/** A suspended one is woken by what ssh runs in it. */
const REACHABLE: readonly VmState[] = ["running", "suspending", "suspended", "waking"];

export function assertRunning(vm: Pick<Vm, "name" | "state">): void {
  if (REACHABLE.includes(vm.state)) return;
  const verb = vm.state === "paused" ? "resume" : "start";
  throw new BangerError("invalid_state", `Cannot log in to "${vm.name}": it is ${vm.state}`, {
    hint: `${verb === "resume" ? "Resume" : "Start"} it with: banger vm ${verb} ${vm.name}`,
  });
}
