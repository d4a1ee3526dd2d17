/** Passes values on to current listeners; nothing is kept. */
import { onAbort } from "#base/abort.ts";

/** A listener that does not read loses its oldest values, never the daemon's memory. */
const PENDING_MAX = 1000;

export class Feed<T> {
  readonly #listeners = new Set<(value: T) => void>();

  publish(value: T): void {
    for (const listener of this.#listeners) listener(value);
  }

  /** Ends when `signal` fires. What happens from this call on is in it. */
  listen(signal: AbortSignal | undefined): AsyncGenerator<T, void> {
    const pending: T[] = [];
    let wake = Promise.withResolvers<void>();
    const listener = (value: T): void => {
      if (pending.length >= PENDING_MAX) pending.shift();
      pending.push(value);
      wake.resolve();
    };
    this.#listeners.add(listener);
    const stop = onAbort(signal, () => wake.resolve());
    const forget = (): void => {
      this.#listeners.delete(listener);
      stop[Symbol.dispose]();
    };
    return (async function* () {
      try {
        while (!signal?.aborted) {
          yield* pending.splice(0);
          if (pending.length > 0) continue;
          await wake.promise;
          wake = Promise.withResolvers();
        }
      } finally {
        forget();
      }
    })();
  }
}
