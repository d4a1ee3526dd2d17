/** Whether a machine that has ended is restarted, and the backoff until then. */
import type { VmExit } from "#api/vm.ts";
import type { VmRecord } from "#vm/records.ts";

const PAUSE_MIN_MS = 1000;
const PAUSE_MAX_MS = 60_000;
/** A run this long counts as a success, and the next pause is the shortest again. */
const GOOD_RUN_MS = 60_000;

/**
 * A guest that reboots itself is started again, as a computer would be; after any other end its policy
 * counts, and for that the status of the command that the machine is for. A machine that a user ended is no
 * longer meant to run, and never comes here as such.
 */
export function isToRestart(
  vm: VmRecord,
  { reason, status = 0 }: Pick<VmExit, "reason" | "status">,
): boolean {
  if (vm.intent !== "run" || vm.spec.ephemeral) return false;
  if (reason === "reboot" || vm.spec.restart === "always") return true;
  return vm.spec.restart === "on-failure" && (reason !== "poweroff" || status !== 0);
}

/** Doubles with each failure in a row. A reboot waits only when it follows another short run. */
export class RestartBackoff {
  readonly #failures = new Map<string, number>();

  next_ms(
    id: string,
    { startedAt, exit }: Pick<VmRecord, "startedAt" | "exit">,
    now_ms = Date.now(),
  ): number {
    const ran_ms = startedAt ? now_ms - Date.parse(startedAt) : 0;
    const failures = ran_ms >= GOOD_RUN_MS ? 0 : (this.#failures.get(id) ?? 0);
    this.#failures.set(id, failures + 1);
    if (failures === 0 && exit?.reason === "reboot") return 0;
    return Math.min(PAUSE_MIN_MS * 2 ** Math.min(failures, 10), PAUSE_MAX_MS);
  }

  forget(id: string): void {
    this.#failures.delete(id);
  }
}
