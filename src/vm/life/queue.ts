/** Runs each machine's operations one after another, and knows which machines have any. */
import { KeyedQueue } from "#base/queue.ts";

export class OperationQueue {
  readonly #queue = new KeyedQueue();
  /** How many each machine has, queued ones among them. */
  readonly #busy = new Map<string, number>();

  isBusy(id: string): boolean {
    return this.#busy.has(id);
  }

  /** Counts `work` as one of the machine's without waiting for a turn. */
  async hold<T>(id: string, work: () => Promise<T>): Promise<T> {
    this.#busy.set(id, (this.#busy.get(id) ?? 0) + 1);
    try {
      return await work();
    } finally {
      const left = (this.#busy.get(id) ?? 1) - 1;
      if (left > 0) this.#busy.set(id, left);
      else this.#busy.delete(id);
    }
  }

  async run<T>(id: string, work: () => Promise<T>): Promise<T> {
    return await this.hold(id, () => this.#queue.run(id, work));
  }
}
