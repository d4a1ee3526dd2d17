/**
 * A growing table of fixed-width records of 32-bit numbers, without one object per record: a million
 * of them cost their own bytes and nothing more. Segments instead of one array, so that growing
 * never copies.
 */
const SHIFT = 12;
const PER_SEGMENT = 1 << SHIFT;
const MASK = PER_SEGMENT - 1;

export class Records {
  readonly #width: number;
  readonly #segments: Uint32Array[] = [];
  #count = 0;

  /** `width`: numbers in a record. */
  constructor(width: number) {
    this.#width = width;
  }

  get count(): number {
    return this.#count;
  }

  /** Appends a record of zeros and gives its index. */
  add(): number {
    if ((this.#count & MASK) === 0) this.#segments.push(new Uint32Array(PER_SEGMENT * this.#width));
    return this.#count++;
  }

  get(index: number, field: number): number {
    const segment = this.#segments[index >>> SHIFT] as Uint32Array;
    return segment[(index & MASK) * this.#width + field] as number;
  }

  set(index: number, field: number, value: number): void {
    const segment = this.#segments[index >>> SHIFT] as Uint32Array;
    segment[(index & MASK) * this.#width + field] = value;
  }

  clear(index: number): void {
    const segment = this.#segments[index >>> SHIFT] as Uint32Array;
    const start = (index & MASK) * this.#width;
    segment.fill(0, start, start + this.#width);
  }
}
