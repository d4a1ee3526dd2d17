/** Shuts a guest down, and describes how a machine ended. */

import { getLogger } from "@logtape/logtape";
import type { VmExit } from "#api/vm.ts";
import { onAbort } from "#base/abort.ts";
import { messageOf } from "#base/error.ts";
import type { ExitReason } from "#vmm/driver.ts";
import type { MachineLink } from "./machine-link.ts";

const log = getLogger(["banger", "vm"]);

const SHUTDOWN_REQUEST_TIMEOUT_MS = 5000;

/**
 * Asks the guest to power off: its agent, which answers, and when that is silent the guest's kernel,
 * by its keyboard. False when neither took the request.
 */
export async function askToPowerOff(
  running: MachineLink,
  { timeout_ms = SHUTDOWN_REQUEST_TIMEOUT_MS } = {},
): Promise<boolean> {
  try {
    const agent = await running.agent(AbortSignal.timeout(timeout_ms));
    await agent.shutdown({ timeout_ms });
    return true;
  } catch (error) {
    log.warn("shutdown request to the guest failed: {message}", {
      message: messageOf(error),
    });
    return await pressCtrlAltDel(running);
  }
}

/**
 * Asks the guest to power off and waits until it has, for `grace_ms` at most or until the signal fires;
 * not at all where the guest did not take the request.
 */
export async function powerOff(
  { link, finished }: { link: MachineLink; finished: Promise<unknown> },
  { grace_ms, signal }: { grace_ms: number; signal?: AbortSignal | undefined },
): Promise<void> {
  const aborted = Promise.withResolvers<void>();
  using _ = onAbort(signal, aborted.resolve);
  const ended = askToPowerOff(link).then(async (isHeard) => {
    if (isHeard) await finished;
  });
  await Promise.race([ended, Bun.sleep(grace_ms), aborted.promise]);
}

async function pressCtrlAltDel({ machine }: MachineLink): Promise<boolean> {
  if (!machine.sendCtrlAltDel) return false;
  try {
    await machine.sendCtrlAltDel();
    return true;
  } catch (error) {
    log.warn("Ctrl-Alt-Del to the guest failed: {message}", { message: messageOf(error) });
    return false;
  }
}

/** The VMM's last words, or the console's last lines after a panic. */
export function detailOf(reason: ExitReason): { detail?: string } {
  return "detail" in reason ? { detail: reason.detail } : {};
}

/** What may help a machine that ended like this; `name` is that of one which is still there. */
export function hintFor(
  { reason, detail = "" }: Pick<VmExit, "reason" | "detail">,
  name: string | undefined,
): string | undefined {
  if (reason === "poweroff" || reason === "reboot") return undefined;
  if (/out of memory|deadlocked on memory/i.test(detail)) return "Use more --memory";
  if (reason === "panic") return "Try a different kernel with --kernel-ref, or run: banger doctor";
  return name === undefined ? undefined : `Show the console with: banger vm logs --console ${name}`;
}
