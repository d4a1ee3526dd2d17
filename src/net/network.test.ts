import { expect, test } from "bun:test";
import { Network } from "./network.ts";
import { Networks } from "./networks.ts";

const network = new Network({ bridge: "banger0", subnet: "10.241.0.0/16" });

test("attach() in user mode gives what QEMU's own stack gives", async () => {
  const request = { machineId: "abcdefgh1234", mode: "user", mac: "02:00:00:00:00:07" } as const;
  expect((await network.attach(request)) as object).toEqual({
    mode: "user",
    mac: "02:00:00:00:00:07",
    address: "10.0.2.15/24",
    gateway: "10.0.2.2",
    dns: ["10.0.2.3"],
  });
});

test("attach() in mode none gives nothing, and needs no rights", async () => {
  expect(await network.attach({ machineId: "abcdefgh1234", mode: "none" })).toEqual({
    mode: "none",
    dns: [],
  });
  expect(network.canUse("none")).toBe(true);
  expect(network.canUse("user")).toBe(true);
});

test("detach() of what needs nothing does nothing", async () => {
  await network.detach({ machineId: "abcdefgh1234", mode: "user" });
  await network.detach({ machineId: "abcdefgh1234", mode: "none" });
});

test("Network refuses a configuration that cannot work", () => {
  expect(() => new Network({ bridge: "banger0", subnet: "10.0.0.0/31" })).toThrow("invalid subnet");
  expect(() => new Network({ bridge: "a b", subnet: "10.0.0.0/24" })).toThrow(
    "invalid interface name",
  );
});

test("an address that is held is nobody else's until it is given back", () => {
  const networks = new Networks({ host: network, rootless: undefined });
  const first = networks.newAddress([]);
  {
    using held = networks.holdAddress([]);
    expect(held.address).toBe(first);
    expect(networks.newAddress([])).not.toBe(first);
  }
  expect(networks.newAddress([])).toBe(first);
});
