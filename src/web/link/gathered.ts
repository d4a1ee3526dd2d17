/** What has changed and is to be loaded anew: changes that come together are loaded together. */
const GATHER_MS = 40;
/** More at once are loaded as a list. */
const SINGLE_MAX = 8;

interface Loads {
  one: (id: string) => Promise<void>;
  all: () => Promise<void>;
}

export class Gathered {
  readonly #loads: Loads;
  #ids = new Set<string>();

  constructor(loads: Loads) {
    this.#loads = loads;
  }

  add(id: string): void {
    if (this.#ids.size === 0) setTimeout(() => void this.#load(), GATHER_MS);
    this.#ids.add(id);
  }

  delete(id: string): void {
    this.#ids.delete(id);
  }

  async #load(): Promise<void> {
    const ids = [...this.#ids];
    this.#ids.clear();
    // What fails is gone again, or the daemon is: an event or the next connection tells. The others are there.
    if (ids.length > SINGLE_MAX) await this.#loads.all().catch(() => {});
    else await Promise.allSettled(ids.map(this.#loads.one));
  }
}
