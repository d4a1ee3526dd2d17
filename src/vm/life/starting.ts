/** What cancels a start before the machine is ready: its client, a kill, or its deadline. */
import { formatDuration, timerDelay_ms } from "#base/duration.ts";
import { BangerError } from "#base/error.ts";

/** To be disposed of when the start is over: until then the deadline keeps what listens to it. */
export class Starting implements Disposable {
  /** Fires when the start is to be given up. */
  readonly signal: AbortSignal;
  readonly #timeout_ms: number;
  readonly #deadline = new AbortController();
  readonly #timer: NodeJS.Timeout;
  readonly #abort = new AbortController();
  readonly #wish: AbortSignal;

  constructor(options: { timeout_ms: number; signal?: AbortSignal | undefined }) {
    this.#timeout_ms = options.timeout_ms;
    this.#timer = setTimeout(() => this.#deadline.abort(), timerDelay_ms(options.timeout_ms));
    this.#wish = AbortSignal.any([this.#abort.signal, ...(options.signal ? [options.signal] : [])]);
    this.signal = AbortSignal.any([this.#wish, this.#deadline.signal]);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }

  /** Begins the deadline anew: what took the time so far is not the start itself. */
  extend(): void {
    this.#timer.refresh();
  }

  abort(): void {
    this.#abort.abort();
  }

  /** Why it was given up; undefined when it was not. */
  reason(name: string, expiresAt?: string): BangerError | undefined {
    if (this.#wish.aborted && expiresAt && Date.parse(expiresAt) <= Date.now()) {
      return new BangerError("timeout", `Cannot start "${name}": its --ttl expired`, {
        hint: "Use a longer --ttl",
      });
    }
    if (this.#wish.aborted) {
      return new BangerError("cancelled", `start of "${name}" cancelled`);
    }
    if (!this.#deadline.signal.aborted) return undefined;
    const limit = formatDuration(this.#timeout_ms);
    return new BangerError(
      "timeout",
      `Cannot start "${name}": timed out waiting for it to become ready after ${limit}`,
      {
        hint: `Check the console with: banger vm logs --console ${name}; the timeout is vm.boot_timeout in the configuration`,
      },
    );
  }
}
