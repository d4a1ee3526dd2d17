/**
 * Protects cached blobs in use from garbage collection. Opening an image reads manifests whose digests are not known
 * in advance, so gc waits until that is done; afterwards the image's digests are held individually, and gc and
 * downloads run concurrently.
 */
import { orAborted } from "#base/abort.ts";
export interface Held<T> extends Disposable {
  readonly value: T;
}

export class BlobGuard {
  readonly #held = new Map<string, number>();
  #opening = 0;
  #sweepers = 0;
  #change = Promise.withResolvers<void>();

  /** Calls `open` while no gc runs, then holds the digests from `digestsOf` until disposed of. */
  async hold<T>(
    open: () => Promise<T>,
    options: { digestsOf: (value: T) => readonly string[]; signal?: AbortSignal | undefined },
  ): Promise<Held<T>> {
    while (this.#sweepers > 0) await this.#changed(options.signal);
    this.#opening++;
    let value: T;
    let digests: readonly string[];
    try {
      value = await open();
      digests = options.digestsOf(value);
      for (const digest of digests) this.#held.set(digest, (this.#held.get(digest) ?? 0) + 1);
    } finally {
      this.#opening--;
      this.#announce();
    }
    let isHeld = true;
    return {
      value,
      [Symbol.dispose]: () => {
        if (!isHeld) return;
        isHeld = false;
        for (const digest of digests) this.#release(digest);
      },
    };
  }

  /** Calls `sweep`, which must be synchronous, while no image is being opened. */
  async sweep<T>(
    sweep: (isHeld: (digest: string) => boolean) => T,
    signal?: AbortSignal,
  ): Promise<T> {
    this.#sweepers++;
    try {
      while (this.#opening > 0) await this.#changed(signal);
      return sweep((digest) => this.#held.has(digest));
    } finally {
      this.#sweepers--;
      this.#announce();
    }
  }

  isHeld(digest: string): boolean {
    return this.#held.has(digest);
  }

  #release(digest: string): void {
    const left = (this.#held.get(digest) ?? 1) - 1;
    if (left === 0) this.#held.delete(digest);
    else this.#held.set(digest, left);
  }

  #announce(): void {
    this.#change.resolve();
    this.#change = Promise.withResolvers<void>();
  }

  #changed(signal: AbortSignal | undefined): Promise<void> {
    return orAborted(this.#change.promise, signal);
  }
}
