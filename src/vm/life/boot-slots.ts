/**
 * How many machines boot at a time where they are emulated. Each boot takes a whole processor, so that twenty
 * at once are not done sooner than one after another, the first of them far later, and all else stands still.
 */
import { availableParallelism } from "node:os";
import { cancelled, onAbort } from "#base/abort.ts";

export class BootSlots {
  #free: number;
  readonly #waiting = new Set<() => void>();

  constructor(count = availableParallelism()) {
    this.#free = count;
  }

  /**
   * Waits for a slot, first come, first served; whoever has it calls what this gives to leave it, which may be
   * done twice. `onWait` is called when there is none at once. `cancelled` when the signal fires before.
   */
  async take(signal: AbortSignal, onWait: () => void): Promise<() => void> {
    if (this.#free > 0) {
      this.#free--;
    } else {
      onWait();
      await this.#turn(signal);
    }
    let isHeld = true;
    return () => {
      if (isHeld) this.#leave();
      isHeld = false;
    };
  }

  #leave(): void {
    const [next] = this.#waiting;
    if (!next) {
      this.#free++;
      return;
    }
    this.#waiting.delete(next);
    next();
  }

  async #turn(signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#waiting.add(resolve);
    using _ = onAbort(signal, () => {
      if (this.#waiting.delete(resolve)) reject(cancelled());
    });
    await promise;
  }
}
