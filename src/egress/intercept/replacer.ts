/** Searches a stream for byte strings, also across the borders of its chunks, and replaces or refuses them. */

export interface Rule {
  /** Not empty. */
  find: Uint8Array;
  /** What is sent in its place; throws to refuse it. */
  replace: (found: Uint8Array) => Uint8Array;
}

const EMPTY = Buffer.alloc(0);

export class Replacer {
  readonly #rules: readonly Rule[];
  /** Where a rule may begin, by byte. */
  readonly #begins = new Uint8Array(256);
  readonly #longest: number;
  #held: Buffer = EMPTY;

  constructor(rules: readonly Rule[]) {
    // The longer of two that begin at the same place is the right one.
    this.#rules = rules.toSorted((a, b) => b.find.length - a.find.length);
    this.#longest = this.#rules[0]?.find.length ?? 0;
    for (const { find } of rules) this.#begins[find[0] ?? 0] = 1;
  }

  /** Keeps back only what could be the beginning of a match: a stream of events is not held up. */
  push(chunk: Uint8Array): Buffer {
    if (this.#rules.length === 0) return asBuffer(chunk);
    const bytes = this.#held.length > 0 ? Buffer.concat([this.#held, chunk]) : asBuffer(chunk);
    const { out, rest } = this.#replaceIn(bytes);
    const keep = this.#beginningAt(rest);
    this.#held = Buffer.from(rest.subarray(keep));
    const last = rest.subarray(0, keep);
    return out.length === 0 ? last : Buffer.concat([...out, last]);
  }

  end(): Buffer {
    const held = this.#held;
    this.#held = EMPTY;
    return held;
  }

  #replaceIn(bytes: Buffer): { out: Uint8Array[]; rest: Buffer } {
    const out: Uint8Array[] = [];
    const nextOf = this.#rules.map(({ find }) => bytes.indexOf(find));
    let from = 0;
    for (;;) {
      let first: { rule: Rule; at: number } | undefined;
      for (const [index, rule] of this.#rules.entries()) {
        let at = nextOf[index] ?? -1;
        if (at >= 0 && at < from) at = nextOf[index] = bytes.indexOf(rule.find, from);
        if (at >= 0 && (!first || at < first.at)) first = { rule, at };
      }
      if (!first) return { out, rest: bytes.subarray(from) };
      const end = first.at + first.rule.find.length;
      out.push(bytes.subarray(from, first.at), first.rule.replace(bytes.subarray(first.at, end)));
      from = end;
    }
  }

  /** Where the longest ending begins that a rule may go on from; the length where there is none. */
  #beginningAt(bytes: Buffer): number {
    for (let at = Math.max(0, bytes.length - this.#longest + 1); at < bytes.length; at++) {
      if (this.#begins[bytes[at] ?? 0] === 0) continue;
      const length = bytes.length - at;
      const isBeginning = this.#rules.some(
        ({ find }) => find.length > length && bytes.compare(find, 0, length, at) === 0,
      );
      if (isBeginning) return at;
    }
    return bytes.length;
  }
}

/** The same for bytes that are all there. */
export function replaceAll(rules: readonly Rule[], bytes: Uint8Array): Buffer {
  const replacer = new Replacer(rules);
  const first = replacer.push(bytes);
  const last = replacer.end();
  return last.length === 0 ? first : Buffer.concat([first, last]);
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
