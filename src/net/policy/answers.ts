/** Which addresses our DNS server has answered to one machine, by name, and for how long they count. */
import type { Address } from "#net/address.ts";
import type { ResolvedAddress } from "#net/dns/filter.ts";

/** A program may use an address for longer than its TTL says, and most TTLs are short. */
const MIN_HOLD_S = 300;
const MAX_HOLD_S = 86_400;
/** A guest decides how many there are: the oldest make room. */
const MAX_ENTRIES = 4096;

export function holdTime(ttl_s: number): number {
  return Math.min(Math.max(ttl_s * 2, MIN_HOLD_S), MAX_HOLD_S);
}

export class Answers {
  /** When an entry ends, in milliseconds, by "address name". */
  readonly #ends = new Map<string, number>();
  readonly #names = new Map<Address, Set<string>>();
  readonly #now_ms: () => number;

  constructor(now_ms: () => number = Date.now) {
    this.#now_ms = now_ms;
  }

  add(name: string, addresses: readonly ResolvedAddress[]): void {
    for (const { address, ttl_s } of addresses) {
      const key = keyOf(address, name);
      const end_ms = this.#now_ms() + holdTime(ttl_s) * 1000;
      const known_ms = this.#ends.get(key) ?? 0;
      this.#remove(key);
      this.#ends.set(key, Math.max(end_ms, known_ms));
      const names = this.#names.get(address) ?? new Set();
      this.#names.set(address, names.add(name));
    }
    for (const key of this.#ends.keys()) {
      if (this.#ends.size <= MAX_ENTRIES) break;
      this.#remove(key);
    }
  }

  /** The names that were answered with this address, the latest first. */
  namesOf(address: Address): string[] {
    const names = [...(this.#names.get(address) ?? [])].reverse();
    return names.filter((name) => this.#isValid(keyOf(address, name)));
  }

  addressesOf(name: string): Address[] {
    return [...this.#names].flatMap(([address, names]) =>
      names.has(name) && this.#isValid(keyOf(address, name)) ? [address] : [],
    );
  }

  #isValid(key: string): boolean {
    if ((this.#ends.get(key) ?? 0) > this.#now_ms()) return true;
    this.#remove(key);
    return false;
  }

  #remove(key: string): void {
    if (!this.#ends.delete(key)) return;
    const [address = "", name = ""] = key.split(" ");
    const names = this.#names.get(address as Address);
    names?.delete(name);
    if (names?.size === 0) this.#names.delete(address as Address);
  }
}

function keyOf(address: Address, name: string): string {
  return `${address} ${name}`;
}
