import { expect, test } from "bun:test";
import { parseCidr } from "./address.ts";
import { findOverlap, overlapError, parseRoutes } from "./routes.ts";

/** As `ip -4 -json route show table all` prints it. */
const printed = JSON.stringify([
  { dst: "default", gateway: "192.0.2.1", dev: "eth0", flags: [] },
  { dst: "0.0.0.0/1", dev: "vpn0", flags: [] },
  { dst: "10.241.0.0/16", dev: "banger0", protocol: "kernel", scope: "link", flags: ["linkdown"] },
  { dst: "10.8.0.0/14", dev: "vpn0", scope: "link", flags: [] },
  { type: "local", dst: "192.0.2.2", dev: "eth0", table: "local", flags: [] },
  { type: "blackhole", dst: "10.77.0.0/24", flags: [] },
]);

function overlap(subnet: string, bridge = "banger0") {
  return findOverlap(parseCidr(subnet), { bridge, routes: parseRoutes(printed) });
}

test("findOverlap() sees routes into the subnet, around it, and addresses in it", () => {
  expect(overlap("10.9.0.0/16")).toMatchObject({ target: "10.8.0.0/14", device: "vpn0" });
  expect(overlap("10.0.0.0/9")).toMatchObject({ device: "vpn0" });
  expect(overlap("192.0.2.0/29")).toMatchObject({ target: "192.0.2.2/32", device: "eth0" });
  expect(overlap("10.77.0.128/25")).toEqual({
    target: parseCidr("10.77.0.0/24"),
    device: undefined,
  });
});

test("findOverlap() minds neither default routes nor the machines' own bridge", () => {
  expect(overlap("10.241.0.0/16")).toBeUndefined();
  expect(overlap("10.241.0.0/16", "other0")).toMatchObject({ device: "banger0" });
  expect(overlap("172.30.0.0/24")).toBeUndefined();
});

test("parseRoutes() takes a host without routes", () => {
  expect(parseRoutes("")).toEqual([]);
  expect(parseRoutes("[{}]")).toEqual([]);
});

test("overlapError() names the other device and the configuration key", () => {
  const error = overlapError(parseCidr("10.9.0.0/16"), {
    target: parseCidr("10.8.0.0/14"),
    device: "vpn0",
  });
  expect(error.code).toBe("conflict");
  expect(error.message).toContain('"10.8.0.0/14" on "vpn0"');
  expect(error.hint).toContain("network.subnet");
});
