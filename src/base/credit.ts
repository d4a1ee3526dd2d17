/** Bytes that the other side takes, and a wait for more of them: the sending half of flow control by credit. */
export class Credit {
  #left: number;
  #isClosed = false;
  #more = Promise.withResolvers<void>();

  constructor(start_bytes: number) {
    this.#left = start_bytes;
  }

  get left_bytes(): number {
    return this.#left;
  }

  add(bytes: number): void {
    this.#left += bytes;
    this.#wake();
  }

  /** Nothing is sent any more: whoever waits is let go, with nothing. */
  close(): void {
    this.#isClosed = true;
    this.#wake();
  }

  /** Waits until something may be sent, and takes at most `max_bytes` of it; 0 once it is closed. */
  async take(max_bytes: number): Promise<number> {
    while (this.#left === 0 && !this.#isClosed) await this.#more.promise;
    if (this.#isClosed) return 0;
    const taken = Math.min(this.#left, max_bytes);
    this.#left -= taken;
    return taken;
  }

  #wake(): void {
    this.#more.resolve();
    this.#more = Promise.withResolvers();
  }
}
