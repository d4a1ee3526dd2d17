import { expect, test } from "bun:test";
import fc from "fast-check";
import { type Address, hosts, joinCidr, parseAddress, parseCidr } from "./address.ts";
import { allocateAddress, checkMachineAddress, checkSubnet, gatewayOf } from "./pool.ts";

const subnet = parseCidr("10.9.8.0/29");

test("allocateAddress() gives each address once, lowest first, then says that none is left", () => {
  const inUse = new Set<Address>();
  for (const expected of ["10.9.8.2", "10.9.8.3", "10.9.8.4", "10.9.8.5", "10.9.8.6"]) {
    const address = allocateAddress(subnet, { inUse });
    expect(address as string).toBe(expected);
    inUse.add(address);
  }
  expect(() => allocateAddress(subnet, { inUse })).toThrow(
    expect.objectContaining({ code: "limit_exceeded" }),
  );
  inUse.delete(parseAddress("10.9.8.4"));
  expect(allocateAddress(subnet, { inUse }) as string).toBe("10.9.8.4");
});

test("allocateAddress() gives the lowest address that is free, never the gateway", () => {
  const all = [...hosts(subnet)].filter((address) => address !== gatewayOf(subnet));
  fc.assert(
    fc.property(fc.subarray(all, { maxLength: all.length - 1 }), (taken) => {
      const inUse = new Set(taken);
      const expected = all.find((address) => !inUse.has(address));
      const given = allocateAddress(subnet, { inUse });
      expect(given).toBe(expected as Address);
      expect(() => checkMachineAddress(subnet, given)).not.toThrow();
    }),
  );
});

test("checkSubnet() clears the host bits and refuses what cannot hold machines", () => {
  expect(checkSubnet(parseCidr("10.9.8.77/24")) as string).toBe("10.9.8.0/24");
  for (const text of ["10.0.0.0/31", "0.0.0.0/0", "fd00::/64"]) {
    expect(() => checkSubnet(parseCidr(text))).toThrow("invalid subnet");
  }
});

test("checkMachineAddress() refuses all but the hosts above the gateway", () => {
  for (const text of ["10.9.8.0", "10.9.8.1", "10.9.8.7", "10.9.9.2", "fd00::2"]) {
    expect(() => checkMachineAddress(subnet, parseAddress(text))).toThrow(
      expect.objectContaining({ code: "invalid_state" }),
    );
  }
  for (const address of hosts(parseCidr("10.9.8.4/30"))) {
    expect(() => checkMachineAddress(subnet, address)).not.toThrow();
  }
  expect(joinCidr(gatewayOf(subnet), 29) as string).toBe("10.9.8.1/29");
});
