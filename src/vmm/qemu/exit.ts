/** Why a QEMU ended, from its events, its exit status and the guest's console. */
import { hasPanic, panicReason } from "#vmm/console.ts";
import type { ExitReason } from "#vmm/driver.ts";
import { type LastWord, resetReason } from "#vmm/goodbye.ts";
import type { ProcessEnd } from "#vmm/machine-process.ts";
import { wasEndedBySignal } from "#vmm/process.ts";

export interface ExitFacts extends LastWord, ProcessEnd {
  /** `reason` of the SHUTDOWN event, where one came. */
  shutdown: string | undefined;
  /** End of QEMU's stderr. */
  stderr: string;
}

export function exitReason(facts: ExitFacts): ExitReason {
  if (facts.killed) return { kind: "killed" };
  switch (facts.shutdown) {
    case "guest-shutdown":
      return { kind: "poweroff" };
    case "guest-reset":
    case "subsystem-reset":
      return resetReason(facts);
    case "guest-panic":
      return panicReason(facts.consoleText);
    case "host-signal":
    case "host-qmp-quit":
      return { kind: "killed" };
    default:
      return withoutEvent(facts);
  }
}

function withoutEvent({ status, consoleText, stderr }: ExitFacts): ExitReason {
  if (!status) return hasPanic(consoleText) ? panicReason(consoleText) : { kind: "unknown" };
  if (wasEndedBySignal(status)) return { kind: "killed" };
  if (status.code === 0) {
    return hasPanic(consoleText) ? panicReason(consoleText) : { kind: "unknown" };
  }
  const how = status.signal === null ? `status ${status.code}` : status.signal;
  return { kind: "crashed", detail: stderr.trim() || `QEMU exited with ${how}` };
}
