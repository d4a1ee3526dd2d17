/** Ending long work early. Whatever is cancelled ends with the same error, and leaves no listener on the signal. */
import { BangerError, CANCELLED_MESSAGE } from "./error.ts";

export function cancelled(cause?: unknown): BangerError {
  return new BangerError("cancelled", CANCELLED_MESSAGE, { cause });
}

/** What an aborted signal means: the error that it was aborted with, such as a timeout, else `cancelled`. */
export function abortError(signal: AbortSignal): BangerError {
  return signal.reason instanceof BangerError ? signal.reason : cancelled(signal.reason);
}

/** Throws `cancelled` when the signal has fired; call it between the steps of long work. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw cancelled(signal.reason);
}

/** Calls `call` when the signal fires, at once if it has; not after the disposal. */
export function onAbort(signal: AbortSignal | undefined, call: () => void): Disposable {
  if (signal?.aborted) call();
  else signal?.addEventListener("abort", call, { once: true });
  return { [Symbol.dispose]: () => signal?.removeEventListener("abort", call) };
}

/** `promise`, or the signal's error as soon as it fires; the promise is left to itself then. */
export async function orAborted<T>(
  promise: PromiseLike<T>,
  signal: AbortSignal | undefined,
): Promise<T> {
  if (!signal) return await promise;
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  using _ = onAbort(signal, () => reject(abortError(signal)));
  return await Promise.race([promise, aborted]);
}

/** Rejects with the signal's error as soon as it fires. */
export async function sleep(delay_ms: number, signal?: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, delay_ms);
  try {
    await orAborted(promise, signal);
  } finally {
    clearTimeout(timer);
  }
}

/** Resolves when the signal fires. */
export async function aborted(signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  using _ = onAbort(signal, resolve);
  await promise;
}
