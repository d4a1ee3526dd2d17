/** How often one machine may do something: a burst, then so many times a second. */
export class Rate {
  readonly #perSecond: number;
  readonly #burst: number;
  readonly #now_ms: () => number;
  #left: number;
  #at_ms: number;

  constructor(
    { perSecond, burst }: { perSecond: number; burst: number },
    now_ms: () => number = () => performance.now(),
  ) {
    this.#perSecond = perSecond;
    this.#burst = burst;
    this.#now_ms = now_ms;
    this.#left = burst;
    this.#at_ms = now_ms();
  }

  /** False when it is too much. */
  take(): boolean {
    const now_ms = this.#now_ms();
    const gained = ((now_ms - this.#at_ms) / 1000) * this.#perSecond;
    this.#left = Math.min(this.#burst, this.#left + gained);
    this.#at_ms = now_ms;
    if (this.#left < 1) return false;
    this.#left--;
    return true;
  }
}
