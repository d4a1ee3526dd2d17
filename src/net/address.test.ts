import { expect, test } from "bun:test";
import fc from "fast-check";
import {
  type Address,
  addressFrom,
  addressOf,
  bitsOf,
  type Cidr,
  contains,
  type Family,
  familyOf,
  hosts,
  joinCidr,
  networkOf,
  numberOf,
  overlaps,
  parseAddress,
  parseCidr,
  prefixOf,
  rangeOf,
  tryParseAddress,
} from "./address.ts";

const address = fc
  .constantFrom<Family>(4, 6)
  .chain((family) =>
    fc
      .bigInt({ min: 0n, max: (1n << BigInt(bitsOf(family))) - 1n })
      .map((value) => addressFrom(family, value)),
  );

const cidr = address.chain((each) =>
  fc.nat(bitsOf(familyOf(each))).map((prefix) => joinCidr(each, prefix)),
);

test("parseAddress() takes back what was formatted, and the platform takes it too", () => {
  fc.assert(
    fc.property(address, (each) => {
      expect(parseAddress(each)).toBe(each);
      expect(addressFrom(familyOf(each), numberOf(each))).toBe(each);
      const host = familyOf(each) === 6 ? `[${each}]` : each;
      expect(new URL(`http://${host}/`).hostname.length).toBeGreaterThan(0);
    }),
  );
});

test("IPv6 text is the one that URL makes of it, but for mapped IPv4", () => {
  // WHATWG URLs serialise by RFC 5952 as well, an implementation that is not ours.
  const groups = fc.array(fc.oneof(fc.constant(0), fc.nat(0xffff)), { minLength: 8, maxLength: 8 });
  fc.assert(
    fc.property(groups, (parts) => {
      const text = parts.map((part) => part.toString(16)).join(":");
      const ours = parseAddress(text);
      if (ours.startsWith("::ffff:") && ours.includes(".")) return;
      expect(`[${ours}]`).toBe(new URL(`http://[${text}]/`).hostname);
    }),
  );
});

test("parseAddress() makes one text of many", () => {
  const cases: [string, string][] = [
    ["10.0.0.7", "10.0.0.7"],
    ["FD00:0:0:0::7", "fd00::7"],
    ["::", "::"],
    ["::1", "::1"],
    ["1::", "1::"],
    ["0:0:1:0:0:0:1:0", "0:0:1::1:0"],
    ["1:0:2:0:3:0:4:0", "1:0:2:0:3:0:4:0"],
    ["::ffff:10.0.0.7", "::ffff:10.0.0.7"],
    ["64:ff9b::10.0.0.7", "64:ff9b::a00:7"],
  ];
  for (const [text, canonical] of cases) expect(parseAddress(text) as string).toBe(canonical);
});

test("parseAddress() refuses what is not an address", () => {
  const wrong = [
    "",
    "10.0.0",
    "10.0.0.256",
    "10.0.0.01",
    "10.0.0.0/8",
    " 10.0.0.1",
    "0x0a.0.0.1",
    "1.2.3.4.5",
    ":",
    ":::",
    "1::2::3",
    "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9",
    "1:2:3:4:5:6:7:8::",
    "12345::",
    "fe80::1%eth0",
    "10.0.0.1::",
    "g::",
    `${"0".repeat(70)}::1`,
  ];
  for (const text of wrong) {
    expect(tryParseAddress(text)).toBeUndefined();
    expect(() => parseAddress(text)).toThrow("invalid IP address");
  }
});

test("parseCidr() takes an address and a prefix length, and nothing else", () => {
  fc.assert(
    fc.property(cidr, (each) => {
      expect(parseCidr(each)).toBe(each);
      expect(joinCidr(addressOf(each), prefixOf(each))).toBe(each);
    }),
  );
  for (const text of [
    "10.0.0.0",
    "10.0.0.0/33",
    "::/129",
    "10.0.0.0/",
    "10.0.0.0/08",
    "10.0.0.0/8/8",
    "x/8",
  ]) {
    expect(() => parseCidr(text)).toThrow("invalid CIDR block");
  }
});

test("contains() holds from the first to the last address and not beyond", () => {
  fc.assert(
    fc.property(cidr, (each) => {
      const family = familyOf(each);
      const { first, last } = rangeOf(each);
      expect(contains(each, addressOf(each))).toBe(true);
      expect(contains(each, addressFrom(family, first))).toBe(true);
      expect(contains(each, addressFrom(family, last))).toBe(true);
      if (first > 0n) expect(contains(each, addressFrom(family, first - 1n))).toBe(false);
      if (last < (1n << BigInt(bitsOf(family))) - 1n) {
        expect(contains(each, addressFrom(family, last + 1n))).toBe(false);
      }
      expect(rangeOf(networkOf(each))).toEqual({ first, last });
    }),
  );
});

test("overlaps() is contains() of one network address, either way round", () => {
  fc.assert(
    fc.property(cidr, cidr, (a, b) => {
      const starts = (block: Cidr): Address => addressOf(networkOf(block));
      const expected = contains(a, starts(b)) || contains(b, starts(a));
      expect(overlaps(a, b)).toBe(expected);
      expect(overlaps(b, a)).toBe(expected);
      expect(overlaps(a, a)).toBe(true);
    }),
  );
});

test("hosts() leaves out network and broadcast, and ascends", () => {
  const list = (text: string): string[] => [...hosts(parseCidr(text))];
  expect(list("10.0.0.5/30")).toEqual(["10.0.0.5", "10.0.0.6"]);
  expect(list("10.0.0.4/31")).toEqual(["10.0.0.4", "10.0.0.5"]);
  expect(list("10.0.0.4/32")).toEqual(["10.0.0.4"]);
  expect(list("fd00::/126")).toEqual(["fd00::1", "fd00::2", "fd00::3"]);
  expect(list("10.0.0.0/24")).toHaveLength(254);
  expect(list("255.255.255.252/30")).toEqual(["255.255.255.253", "255.255.255.254"]);
});
