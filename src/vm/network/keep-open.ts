/** Something between a machine and this process that is made again whenever the agent's connection was lost. */
import { setTimeout as sleep } from "node:timers/promises";
import type { MachineLink } from "#vm/life/machine-link.ts";

const RETRY_MIN_MS = 1000;
const RETRY_MAX_MS = 60_000;

export interface KeepOpenOptions {
  link: MachineLink;
  /** One that is being suspended, or is paused, is left alone until it runs. */
  isRunning: () => boolean;
  reopen: () => Promise<{ ended: Promise<void> }>;
  /** Whether there is no use in another try. */
  onError: (error: unknown) => "retry" | "give up";
  /** How many streams it takes while it is there. */
  streams: number;
}

/** Until the machine's process has ended. */
export async function keepOpen(
  first: { ended: Promise<void> } | undefined,
  { link, isRunning, reopen, onError, streams }: KeepOpenOptions,
): Promise<void> {
  let isOver = false;
  const over = link.exited.then(() => {
    isOver = true;
  });
  let open = first;
  let wait_ms = RETRY_MIN_MS;
  while (!isOver) {
    if (open) {
      link.ownStreams += streams;
      await Promise.race([open.ended, over]);
      link.ownStreams -= streams;
      open = undefined;
    } else if (isRunning()) {
      try {
        open = await reopen();
        wait_ms = RETRY_MIN_MS;
        continue;
      } catch (error) {
        if (onError(error) === "give up") return;
        wait_ms = Math.min(2 * wait_ms, RETRY_MAX_MS);
      }
    }
    await Promise.race([sleep(wait_ms, undefined, { ref: false }), over]);
  }
}
