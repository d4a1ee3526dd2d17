/** Events of machines, for current listeners only; nothing is kept. */
import type { MachineEvent } from "#api/system.ts";
import { onAbort } from "#base/abort.ts";

/** A listener that does not read loses its oldest events, never the daemon's memory. */
const PENDING_EVENTS_MAX = 1000;

type Listener = (event: MachineEvent) => void;

export class Events {
  readonly #listeners = new Set<Listener>();

  publish(event: Omit<MachineEvent, "at">): void {
    const told = { at: new Date().toISOString(), ...event };
    for (const listener of this.#listeners) listener(told);
  }

  /** Resolves at the machine's next event, or when `signal` fires. */
  async next(id: string, signal: AbortSignal | undefined): Promise<void> {
    for await (const event of this.listen(signal)) if (event.id === id) return;
  }

  /** Ends when `signal` fires. What happens from this call on is in it. */
  listen(signal: AbortSignal | undefined): AsyncGenerator<MachineEvent, void> {
    const pending: MachineEvent[] = [];
    let wake = Promise.withResolvers<void>();
    const listener: Listener = (event) => {
      if (pending.length >= PENDING_EVENTS_MAX) pending.shift();
      pending.push(event);
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
