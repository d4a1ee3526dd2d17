import { expect, test } from "bun:test";
import fc from "fast-check";
import { renderTables } from "#net/nft/rules.ts";
import { addressFrom, contains, parseAddress, parseCidr } from "./address.ts";
import { address6Of, chooseSubnet6, hasUplink6, linkLocalOf } from "./ipv6.ts";

const subnet6 = parseCidr("fd12:3456:789a::/64");

test("chooseSubnet6() takes a block, none, or one that this computer always has for a bridge", () => {
  expect(chooseSubnet6("off", "banger0")).toBeUndefined();
  expect(chooseSubnet6("fd12:3456:789a::7/64", "banger0")).toBe(subnet6);
  const auto = chooseSubnet6("auto", "banger0");
  expect(auto).toMatch(/^fd[0-9a-f:]+::\/64$/);
  expect(chooseSubnet6("auto", "banger0")).toBe(auto);
  expect(chooseSubnet6("auto", "other0")).not.toBe(auto);
  for (const wrong of ["fd00::/48", "10.0.0.0/24", "fd00::1", "on"]) {
    expect(() => chooseSubnet6(wrong, "banger0")).toThrow();
  }
});

test("a machine's IPv6 address ends in the other one, so that no two are alike", () => {
  expect(address6Of(subnet6, parseAddress("10.241.0.2"))).toBe(
    parseAddress("fd12:3456:789a::af1:2"),
  );
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: 0xffff_ffffn }), (number) => {
      expect(contains(subnet6, address6Of(subnet6, addressFrom(4, number)))).toBe(true);
    }),
  );
});

test("linkLocalOf() is what the kernel makes of a hardware address", () => {
  expect(linkLocalOf("02:72:45:0a:d5:2b")).toBe(parseAddress("fe80::72:45ff:fe0a:d52b"));
  expect(linkLocalOf("52:54:00:12:34:56")).toBe(parseAddress("fe80::5054:ff:fe12:3456"));
});

test("hasUplink6() sees a default route that leads somewhere", () => {
  const zero = "0".repeat(32);
  const line = (flags: string, device: string, target = zero, length = "00") =>
    `${target} ${length} ${zero} 00 ${zero} 00000400 00000001 00000000 ${flags}     ${device}\n`;
  expect(hasUplink6(line("00000003", "eth0"))).toBe(true);
  expect(hasUplink6(line("00200200", "lo"))).toBe(false);
  expect(hasUplink6(line("00000001", "eth0", `fd${"0".repeat(30)}`, "40"))).toBe(false);
  expect(hasUplink6("")).toBe(false);
});

test("rules for IPv6 are there where the bridge has it, and say nothing of it elsewhere", () => {
  const address = parseAddress("10.241.0.2");
  const tap = { tap: "bgr-a", mode: "nat" as const, mac: "02:00:00:00:00:02" };
  const taps = [{ ...tap, address, networks: ["blue"] }];
  const text = renderTables({ table: "banger", bridge: "banger0", taps, subnet6 });
  const own = "fd12:3456:789a::af1:2";
  expect(text).toContain(`"bgr-a" . 02:00:00:00:00:02 . ${own}`);
  expect(text).toContain(`"bgr-a" . 0xfd123456789a0000000000000af10002`);
  expect(text).toContain('ip6 saddr @nat_machines6 oifname != "banger0" masquerade');
  expect(text).toContain(
    'iifname "banger0" ip6 daddr { fd00:ec2::/32, fd20:ce::/32 } jump metadata',
  );
  expect(text).toContain("ip6 saddr @net6_blue ip6 daddr @net6_blue accept");
  expect(renderTables({ table: "banger", bridge: "banger0", taps })).not.toMatch(/ip6|icmpv6/);
});
