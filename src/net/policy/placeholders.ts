/**
 * Addresses for names that the user has not been asked about yet. A machine gets one in place of an answer, so that
 * asking for a name tells nobody outside, and its connection waits at the proxy instead of its DNS query.
 */
import { type Address, addressFrom, contains, parseCidr, rangeOf } from "#net/address.ts";

/** For measurements between networks (RFC 2544): no name may lead there. */
const BLOCK = parseCidr("198.18.0.0/15");
const RANGE = rangeOf(BLOCK);
/** A guest decides how many there are: the oldest make room. */
const MAX_NAMES = 1024;

export function isPlaceholder(address: Address): boolean {
  return contains(BLOCK, address);
}

export class Placeholders {
  readonly #addressOf = new Map<string, Address>();
  readonly #nameOf = new Map<Address, string>();
  #next = RANGE.first + 1n;

  addressOf(name: string): Address {
    const known = this.#addressOf.get(name);
    if (known) return known;
    const address = addressFrom(4, this.#next);
    this.#next = this.#next + 1n < RANGE.last ? this.#next + 1n : RANGE.first + 1n;
    this.#addressOf.set(name, address);
    this.#nameOf.set(address, name);
    for (const [oldest, its] of this.#addressOf) {
      if (this.#addressOf.size <= MAX_NAMES) break;
      this.#addressOf.delete(oldest);
      this.#nameOf.delete(its);
    }
    return address;
  }

  nameOf(address: Address): string | undefined {
    return this.#nameOf.get(address);
  }
}
