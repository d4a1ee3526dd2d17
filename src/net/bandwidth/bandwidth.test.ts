import { expect, test } from "bun:test";
import { VM_NET_MAX_BYTES_PER_S, VM_NET_MIN_BYTES_PER_S, vmLimits } from "#api/vm.ts";
import {
  assertLimitable,
  intermediateCommands,
  intermediateName,
  queueCommand,
} from "./bandwidth.ts";

test("any frame fits into a queue's burst, and the burst is a small part of a second", () => {
  const burstOf = (bytes_per_s: number, mtu: number): number =>
    Number(/ burst (\d+) /.exec(queueCommand("bgr-x", bytes_per_s, mtu))?.[1]);
  expect(burstOf(1024, 1500)).toBeGreaterThan(1500 + 18);
  expect(burstOf(1024, 65_520)).toBeGreaterThan(65_520 + 18);
  expect(burstOf(100_000_000, 1500)).toBe(5_000_000);
  expect(queueCommand("bgr-x", 1_000_000, 1500)).toBe(
    "qdisc replace dev bgr-x root tbf rate 1000000bps burst 50000 limit 181072",
  );
});

test("rates that no guest or queue can live with are refused", () => {
  const parse = (net_in_bytes_per_s: number): boolean =>
    vmLimits.safeParse({ net_in_bytes_per_s }).success;
  const accepted = [0, VM_NET_MIN_BYTES_PER_S, VM_NET_MAX_BYTES_PER_S];
  expect(accepted.map(parse)).toEqual([true, true, true]);
  const refused = [1, VM_NET_MIN_BYTES_PER_S - 1, VM_NET_MAX_BYTES_PER_S + 1, -1];
  expect(refused.map(parse)).toEqual([false, false, false, false]);
});

test("the largest rate that the API takes fits into 32 bits of queue", () => {
  const limit = Number(
    / limit (\d+)$/.exec(queueCommand("bgr-x", VM_NET_MAX_BYTES_PER_S, 65_520))?.[1],
  );
  expect(limit).toBeLessThan(2 ** 32);
});

test("the intermediate device tells of its tap, and is no tap", () => {
  expect(intermediateName("bgr-abcdefgh")).toBe("bgi-abcdefgh");
  const [add, set] = intermediateCommands("bgr-abcdefgh", 1500);
  expect(add).toBe("link add name bgi-abcdefgh mtu 1500 type ifb");
  expect(set).toContain("alias banger:bandwidth:bgr-abcdefgh ");
});

test("only machines with a tap are limited", () => {
  const limit = { in_bytes_per_s: 1_000_000 };
  const said = "Cannot limit the network bandwidth of a machine with --net user";
  expect(() => assertLimitable(limit, "user")).toThrow(said);
  expect(() => assertLimitable({ out_bytes_per_s: 5000 }, "none")).toThrow("--net none");
  expect(() => assertLimitable({ in_bytes_per_s: 0, out_bytes_per_s: 0 }, "none")).not.toThrow();
  expect(() => assertLimitable(limit, "nat")).not.toThrow();
});
