/** Events of machines, for current listeners only; nothing is kept. */
import type { MachineEvent } from "#api/system.ts";
import { Feed } from "#base/async/feed.ts";

export class Events {
  readonly #feed = new Feed<MachineEvent>();

  publish(event: Omit<MachineEvent, "at">): void {
    this.#feed.publish({ at: new Date().toISOString(), ...event });
  }

  /** Resolves at the machine's next event, or when `signal` fires. */
  async next(id: string, signal: AbortSignal | undefined): Promise<void> {
    for await (const event of this.listen(signal)) if (event.id === id) return;
  }

  /** Ends when `signal` fires. What happens from this call on is in it. */
  listen(signal: AbortSignal | undefined): AsyncGenerator<MachineEvent, void> {
    return this.#feed.listen(signal);
  }
}
