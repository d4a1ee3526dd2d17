import { expect, test } from "bun:test";
import fc from "fast-check";
import { addressFrom, parseCidr } from "./address.ts";
import {
  bridgeAlias,
  parseBridgeAlias,
  parseDefaultDevice,
  parsePoolAlias,
  parseTapAlias,
  poolAlias,
  readDevice,
  tapAlias,
} from "./devices.ts";
import { checkNetworks, macAddress } from "./names.ts";

/** IFALIASZ in linux/if.h. */
const MAX_ALIAS_LENGTH = 256;

test("an alias tells everything that was put into it", () => {
  const tap = fc.record({
    machineId: fc.stringMatching(/^[a-z0-9-]{8,40}$/),
    mode: fc.constantFrom("nat" as const, "host" as const),
    address: fc.bigInt({ min: 0n, max: 0xffffffffn }).map((value) => addressFrom(4, value)),
    mac: fc.string().map(macAddress),
    networks: fc
      .uniqueArray(fc.stringMatching(/^[a-z][a-z0-9]{0,30}$/), { maxLength: 4 })
      .map(checkNetworks),
  });
  fc.assert(
    fc.property(tap, (each) => {
      expect(tapAlias(each).length).toBeLessThan(MAX_ALIAS_LENGTH);
      expect(parseTapAlias("bgr-x", tapAlias(each))).toEqual({ tap: "bgr-x", ...each });
      expect(parsePoolAlias("bgr-x", tapAlias(each))).toBeUndefined();
      const pooled = { ...each, user_uid: 1000 };
      expect(parsePoolAlias("bgr-x", poolAlias(pooled))).toEqual({
        tap: "bgr-x",
        mode: each.mode,
        address: each.address,
        mac: each.mac,
        networks: [],
        user_uid: 1000,
      });
      expect(parseTapAlias("bgr-x", poolAlias(pooled))).toBeUndefined();
    }),
  );
  for (const mark of [
    { gateway: parseCidr("10.241.0.1/16") },
    { gateway: parseCidr("10.241.0.1/16"), dnsPort: 15353 },
    { gateway: parseCidr("10.241.0.1/16"), subnet6: parseCidr("fd12:3456:789a::/64") },
    {
      gateway: parseCidr("10.241.0.1/16"),
      subnet6: parseCidr("fd12:3456:789a::/64"),
      dnsPort: 15353,
    },
  ]) {
    expect(parseBridgeAlias(bridgeAlias(mark))).toEqual(mark);
  }
});

test("a tap that names no hardware address has the one of its machine", () => {
  expect(parseTapAlias("bgr-x", "banger:nat:abcdefgh1234:10.241.0.2")).toMatchObject({
    mac: macAddress("abcdefgh1234"),
    networks: [],
  });
});

test("an alias of somebody else's tells nothing", () => {
  for (const alias of ["", "banger", "uplink", "banger:nat:id", "banger:nat:id:nowhere"]) {
    expect(parseTapAlias("bgr-x", alias)).toBeUndefined();
    expect(parseBridgeAlias(alias)).toBeUndefined();
  }
});

test("parseDefaultDevice() takes the default route with the lowest metric that is up", () => {
  const head = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT";
  const route = (device: string, target: string, flags: string, metric: number, mask: string) =>
    [device, target, "010A0A0A", flags, 0, 0, metric, mask, 0, 0, 0].join("\t");
  const lines = [
    head,
    route("lan0", "000A0A0A", "0001", 0, "00FFFFFF"),
    route("vpn0", "00000000", "0001", 0, "00000080"),
    route("wifi0", "00000000", "0003", 600, "00000000"),
    route("down0", "00000000", "0000", 1, "00000000"),
    route("eth7", "00000000", "0003", 100, "00000000"),
  ];
  expect(parseDefaultDevice(lines.join("\n"))).toBe("eth7");
  expect(parseDefaultDevice(lines.slice(0, 3).join("\n"))).toBeUndefined();
  expect(parseDefaultDevice("")).toBeUndefined();
});

test("readDevice() knows the loopback device and not one that is missing", () => {
  expect(readDevice("lo")).toMatchObject({ name: "lo", isBridge: false, master: undefined });
  expect(readDevice("no-such-device")).toBeUndefined();
});
