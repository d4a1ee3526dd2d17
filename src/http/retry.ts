import { sleep } from "#base/abort.ts";
import { TransferError } from "./failure.ts";

const ATTEMPTS_MAX = 5;
const DELAY_DEFAULT_MS = 250;
const DELAY_MAX_MS = 8000;
/** A server that asks for more patience than this gets none: the user decides. */
const RETRY_AFTER_MAX_MS = 60_000;

export interface RetryOptions {
  signal: AbortSignal;
  /** Wait before the second attempt; doubles with each further one. Default 250. */
  delay_ms?: number | undefined;
}

/** Tries again after temporary failures, a few times, each time a little later. */
export async function withRetries<T>(attempt: () => Promise<T>, options: RetryOptions): Promise<T> {
  for (let failures = 1; ; failures++) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof TransferError) || !error.isTemporary) throw error;
      await waitToRetry(error, failures, options);
    }
  }
}

/** Waits as long as the `failures`-th failure in a row asks for; throws it when it is one too many. */
export async function waitToRetry(
  error: TransferError,
  failures: number,
  options: RetryOptions,
): Promise<void> {
  const asked_ms = error.retryAfter_ms ?? 0;
  if (failures >= ATTEMPTS_MAX || asked_ms > RETRY_AFTER_MAX_MS) throw error;
  const backoff_ms = Math.min(
    (options.delay_ms ?? DELAY_DEFAULT_MS) * 2 ** (failures - 1),
    DELAY_MAX_MS,
  );
  // Spread, so that pulls that failed together do not come back together.
  await sleep(Math.max(asked_ms, backoff_ms * (0.5 + Math.random() / 2)), options.signal);
}
