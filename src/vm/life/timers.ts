/** One timer for each machine. Timers keep no daemon alive, and may be due years ahead. */

/** Longer ones overflow in the runtime, and a clock that was set is seen after this long. */
const STEP_MAX_MS = 60_000;

export class Timers {
  readonly #timers = new Map<string, NodeJS.Timeout>();
  readonly #now: () => number;

  /** `now` is the clock that deadlines are read from; a pause is best measured by one that nobody sets. */
  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  /** Calls `work` when the clock says `due_ms`; replaces an earlier timer of the same machine. */
  set(id: string, due_ms: number, work: () => void): void {
    this.cancel(id);
    const left_ms = due_ms - this.#now();
    const timer = setTimeout(
      () => {
        if (this.#now() < due_ms) return this.set(id, due_ms, work);
        this.#timers.delete(id);
        work();
      },
      Math.max(0, Math.min(left_ms, STEP_MAX_MS)),
    );
    timer.unref();
    this.#timers.set(id, timer);
  }

  /** As `set`, counted from now. */
  setIn(id: string, pause_ms: number, work: () => void): void {
    this.set(id, this.#now() + pause_ms, work);
  }

  has(id: string): boolean {
    return this.#timers.has(id);
  }

  cancel(id: string): void {
    clearTimeout(this.#timers.get(id));
    this.#timers.delete(id);
  }

  clear(): void {
    for (const id of [...this.#timers.keys()]) this.cancel(id);
  }
}
