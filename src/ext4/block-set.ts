/** A set of block numbers, one bit each, in pages allocated on demand. */

const PAGE_BITS = 4096;
const WORD_BITS = 32;

export class BlockSet {
  readonly #pages = new Map<number, Uint32Array>();

  /** False when one of the blocks was there already. */
  add(start: number, count: number): boolean {
    const end = start + count;
    for (let at = start; at < end; ) {
      const page = this.#page(Math.floor(at / PAGE_BITS));
      const first = at % PAGE_BITS;
      const bits = Math.min(WORD_BITS - (first % WORD_BITS), end - at);
      const mask = ((bits === WORD_BITS ? ~0 : (1 << bits) - 1) << (first % WORD_BITS)) >>> 0;
      const word = Math.floor(first / WORD_BITS);
      const present = page[word] as number;
      if ((present & mask) !== 0) return false;
      page[word] = present | mask;
      at += bits;
    }
    return true;
  }

  #page(number: number): Uint32Array {
    let page = this.#pages.get(number);
    if (!page) {
      page = new Uint32Array(PAGE_BITS / WORD_BITS);
      this.#pages.set(number, page);
    }
    return page;
  }
}
