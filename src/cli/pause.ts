/** Waits that ^C ends. */
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
  const { promise, reject } = Promise.withResolvers<never>();
  promise.catch(() => {});
  const onAbort = (): void => reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  return await promise;
}
