/** Sleeps that ^C ends. */
import { aborted } from "#base/abort.ts";
import { timerDelay_ms } from "#base/duration.ts";

/** Fails with the signal's reason when it fires. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  const timer = Promise.withResolvers<void>();
  const timeout = setTimeout(timer.resolve, timerDelay_ms(ms));
  try {
    await Promise.race([timer.promise, untilInterrupted(signal)]);
  } finally {
    clearTimeout(timeout);
  }
}

/** Only ever fails. */
export async function untilInterrupted(signal: AbortSignal): Promise<never> {
  await aborted(signal);
  throw signal.reason;
}
