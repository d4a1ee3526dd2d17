/** Formats the error for a machine that ended by itself. */
import type { VmExit } from "#api/vm.ts";
import { BangerError } from "#base/error.ts";
import { hintFor } from "./ending.ts";

const VERBS: Record<VmExit["reason"], string> = {
  poweroff: "powered off",
  reboot: "rebooted",
  panic: "panicked",
  killed: "was killed",
  crashed: "crashed",
  unknown: "ended",
};

/** A `guest` error: how the machine ended, what it was doing, and its last words. */
export function endedError(name: string, exit: VmExit, doing: string): BangerError {
  const { reason, detail } = exit;
  const message = `Machine "${name}" ${VERBS[reason]} while it ${doing}`;
  return new BangerError("guest", detail ? `${message}: ${detail}` : message, {
    hint: hintFor(exit),
  });
}
