/** Event queue of one reader, with back-pressure: senders wait while too many events are unread. */

/** Unread events may have so many bytes. */
const UNREAD_MAX_BYTES = 512 * 1024;

export class Subscription {
  readonly #queue: { event: unknown; size: number }[] = [];
  #size = 0;
  #isOver = false;
  #failure: unknown;
  #isLeft = false;
  #arrived = Promise.withResolvers<void>();
  #room = Promise.withResolvers<void>();

  /** Resolves when there is room for more, or the reader has left. */
  async push(event: unknown, size = 0): Promise<void> {
    if (this.#isLeft || this.#isOver) return;
    this.#queue.push({ event, size });
    this.#size += size;
    this.#arrived.resolve();
    while (this.#size > UNREAD_MAX_BYTES && !this.#isLeft) await this.#room.promise;
  }

  /** After what was pushed before. */
  end(failure?: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#failure = failure;
    this.#arrived.resolve();
  }

  async *read(): AsyncGenerator<unknown, void> {
    try {
      for (;;) {
        const next = this.#queue.shift();
        if (next) {
          this.#size -= next.size;
          this.#makeRoom();
          yield next.event;
        } else if (this.#isOver) {
          if (this.#failure !== undefined) throw this.#failure;
          return;
        } else {
          await this.#arrived.promise;
          this.#arrived = Promise.withResolvers();
        }
      }
    } finally {
      this.leave();
    }
  }

  /** Nobody reads from here on. */
  leave(): void {
    this.#isLeft = true;
    this.#isOver = true;
    this.#makeRoom();
    // A reader that waits for an event is not left waiting.
    this.#arrived.resolve();
  }

  #makeRoom(): void {
    this.#room.resolve();
    this.#room = Promise.withResolvers();
  }
}
