/** How a machine's unwanted end is told. */
import type { VmExit } from "#api/vm.ts";
import { BangerError } from "#base/error.ts";
import { hintFor } from "./ending.ts";

/** A `guest` error: what the machine was doing, how it ended, and its last words. */
export function endedError(name: string, exit: VmExit, doing: string): BangerError {
  const detail = exit.detail ? `\n${exit.detail}` : "";
  return new BangerError(
    "guest",
    `Machine "${name}" ended while it ${doing}: ${exit.reason}${detail}`,
    {
      hint: hintFor(detail),
    },
  );
}
