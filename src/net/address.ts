/**
 * IP addresses and blocks as branded strings in canonical text, so that they can be
 * compared with `===`, put into sets and stored as they are. IPv6 follows RFC 5952.
 */
import { BangerError } from "#base/error.ts";

/** "10.0.0.7" or "fd00::7": one address, canonical. */
export type Address = string & { readonly __brand: "Address" };

/** "10.0.0.7/24": an address and the length of its prefix, canonical; host bits are kept. */
export type Cidr = string & { readonly __brand: "Cidr" };

export type Family = 4 | 6;

/** Longer text is refused before it is looked at. */
const MAX_TEXT_LENGTH = 64;

export function bitsOf(family: Family): 32 | 128 {
  return family === 4 ? 32 : 128;
}

/** `invalid_argument` for anything but a plain address: no zone, no port, no leading zeros in IPv4. */
export function parseAddress(text: string): Address {
  const address = tryParseAddress(text);
  if (address !== undefined) return address;
  throw new BangerError("invalid_argument", `invalid IP address "${clip(text)}"`, {
    hint: 'Use an address such as "10.0.0.7" or "fd00::7"',
  });
}

export function tryParseAddress(text: string): Address | undefined {
  if (text.length > MAX_TEXT_LENGTH) return undefined;
  const family = text.includes(":") ? 6 : 4;
  const value = family === 4 ? parseIpv4(text) : parseIpv6(text);
  return value === undefined ? undefined : addressFrom(family, value);
}

/** `invalid_argument` for anything but `<address>/<prefix length>`. */
export function parseCidr(text: string): Cidr {
  const [addressText = "", prefixText = "", ...rest] = text
    .slice(0, MAX_TEXT_LENGTH + 1)
    .split("/");
  const address = tryParseAddress(addressText);
  const prefix = /^(0|[1-9]\d{0,2})$/.test(prefixText) ? Number(prefixText) : Number.NaN;
  if (address !== undefined && rest.length === 0 && prefix <= bitsOf(familyOf(address))) {
    return joinCidr(address, prefix);
  }
  throw new BangerError("invalid_argument", `invalid CIDR block "${clip(text)}"`, {
    hint: 'Use an address and a prefix length, such as "10.0.0.0/24"',
  });
}

export function familyOf(address: Address | Cidr): Family {
  return address.includes(":") ? 6 : 4;
}

/** The address as a number; the counterpart of `addressFrom`. */
export function numberOf(address: Address): bigint {
  return (familyOf(address) === 4 ? parseIpv4(address) : parseIpv6(address)) ?? 0n;
}

/** The address with this number, which must lie within the family. */
export function addressFrom(family: Family, value: bigint): Address {
  return (family === 4 ? formatIpv4(value) : formatIpv6(value)) as Address;
}

export function joinCidr(address: Address, prefix: number): Cidr {
  return `${address}/${prefix}` as Cidr;
}

export function addressOf(cidr: Cidr): Address {
  return cidr.slice(0, cidr.indexOf("/")) as Address;
}

export function prefixOf(cidr: Cidr): number {
  return Number(cidr.slice(cidr.indexOf("/") + 1));
}

/** First and last number of the block. */
export function rangeOf(cidr: Cidr): { first: bigint; last: bigint } {
  const host = BigInt(bitsOf(familyOf(cidr)) - prefixOf(cidr));
  const first = (numberOf(addressOf(cidr)) >> host) << host;
  return { first, last: first + (1n << host) - 1n };
}

/** The block with its host bits cleared: "10.0.0.7/24" gives "10.0.0.0/24". */
export function networkOf(cidr: Cidr): Cidr {
  return joinCidr(addressFrom(familyOf(cidr), rangeOf(cidr).first), prefixOf(cidr));
}

export function contains(cidr: Cidr, address: Address): boolean {
  if (familyOf(cidr) !== familyOf(address)) return false;
  const { first, last } = rangeOf(cidr);
  const value = numberOf(address);
  return first <= value && value <= last;
}

const LOOPBACK = [parseCidr("127.0.0.0/8"), parseCidr("::1/128")];

/** Whether only programs of this host reach it; "localhost" is no address. */
export function isLoopback(text: string): boolean {
  const address = tryParseAddress(text);
  return address !== undefined && LOOPBACK.some((block) => contains(block, address));
}

export function overlaps(a: Cidr, b: Cidr): boolean {
  if (familyOf(a) !== familyOf(b)) return false;
  const [left, right] = [rangeOf(a), rangeOf(b)];
  return left.first <= right.last && right.first <= left.last;
}

/**
 * The addresses that hosts can have, ascending and lazily. IPv4 leaves out the network and
 * the broadcast address except in /31 and /32; IPv6 leaves out the subnet-router address
 * except in /127 and /128.
 */
export function* hosts(cidr: Cidr): Generator<Address> {
  const family = familyOf(cidr);
  const { first, last } = rangeOf(cidr);
  const isTiny = bitsOf(family) - prefixOf(cidr) < 2;
  const end = isTiny || family === 6 ? last : last - 1n;
  for (let value = isTiny ? first : first + 1n; value <= end; value++) {
    yield addressFrom(family, value);
  }
}

function clip(text: string): string {
  return text.slice(0, MAX_TEXT_LENGTH);
}

function parseIpv4(text: string): bigint | undefined {
  if (!/^\d{1,3}(\.\d{1,3}){3}$/.test(text)) return undefined;
  let value = 0n;
  for (const part of text.split(".")) {
    if (Number(part) > 255 || (part.length > 1 && part.startsWith("0"))) return undefined;
    value = (value << 8n) | BigInt(part);
  }
  return value;
}

function formatIpv4(value: bigint): string {
  return [24n, 16n, 8n, 0n].map((shift) => (value >> shift) & 255n).join(".");
}

function parseIpv6(text: string): bigint | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const head = parseGroups(halves[0] ?? "", halves.length === 1);
  const tail = halves.length === 2 ? parseGroups(halves[1] ?? "", true) : [];
  if (!head || !tail) return undefined;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const groups = [...head, ...Array.from({ length: missing }, () => 0n), ...tail];
  return groups.reduce((value, group) => (value << 16n) | group, 0n);
}

/** The 16-bit groups of one side of "::"; the last may be a dotted IPv4 address when `isEnd`. */
function parseGroups(text: string, isEnd: boolean): bigint[] | undefined {
  if (text === "") return [];
  const groups: bigint[] = [];
  const parts = text.split(":");
  for (const [index, part] of parts.entries()) {
    if (isEnd && index === parts.length - 1 && part.includes(".")) {
      const value = parseIpv4(part);
      if (value === undefined) return undefined;
      groups.push(value >> 16n, value & 0xffffn);
    } else {
      if (!/^[0-9a-fA-F]{1,4}$/.test(part)) return undefined;
      groups.push(BigInt(`0x${part}`));
    }
  }
  return groups;
}

function formatIpv6(value: bigint): string {
  if (value >> 32n === 0xffffn) return `::ffff:${formatIpv4(value & 0xffffffffn)}`;
  const groups = Array.from(
    { length: 8 },
    (_, index) => (value >> BigInt(112 - 16 * index)) & 0xffffn,
  );
  const run = longestZeroRun(groups);
  const hex = groups.map((group) => group.toString(16));
  if (run.length < 2) return hex.join(":");
  return `${hex.slice(0, run.start).join(":")}::${hex.slice(run.start + run.length).join(":")}`;
}

function longestZeroRun(groups: readonly bigint[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  let start = 0;
  for (const [index, group] of groups.entries()) {
    if (group !== 0n) start = index + 1;
    else if (index + 1 - start > best.length) best = { start, length: index + 1 - start };
  }
  return best;
}
