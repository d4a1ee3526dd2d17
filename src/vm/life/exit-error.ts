/** Formats the error for a machine that ended by itself. */
import type { VmExit } from "#api/vm.ts";
import { BangerError } from "#base/error.ts";
import { hintFor } from "./shutdown.ts";

const VERBS: Record<VmExit["reason"], string> = {
  poweroff: "powered off",
  reboot: "rebooted",
  panic: "panicked",
  killed: "was killed",
  crashed: "crashed",
  unknown: "ended",
};

/**
 * A `guest` error: how the machine ended, what it was doing, and its last words. `expiresAt`: when it was to be
 * removed; `isRemoved`: nothing of it is left to look at.
 */
export function exitError(
  name: string,
  exit: VmExit,
  {
    doing,
    expiresAt,
    isRemoved = false,
  }: { doing: string; expiresAt?: string | undefined; isRemoved?: boolean },
): BangerError {
  const { reason, detail } = exit;
  if (reason === "killed" && expiresAt && Date.parse(expiresAt) <= Date.parse(exit.at)) {
    return new BangerError(
      "guest",
      `machine "${name}" was removed while it ${doing}: its --ttl expired`,
      {
        hint: "Use a longer --ttl",
      },
    );
  }
  const message = `machine "${name}" ${VERBS[reason]} while it ${doing}`;
  return new BangerError("guest", detail ? `${message}: ${detail}` : message, {
    hint: hintFor(exit, isRemoved ? undefined : name),
  });
}
