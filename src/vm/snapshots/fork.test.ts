import { expect, test } from "bun:test";
import type { Vm } from "#api/vm.ts";
import { BangerError } from "#base/error.ts";
import { bangerErrorOf } from "#test/expect-error.ts";
import { allMade, assertFreePorts, forkNames } from "./fork.ts";

test("copies are named by their number", () => {
  expect(forkNames({ name: "a" })).toEqual([undefined]);
  expect(forkNames({ name: "a", pattern: "b" })).toEqual(["b"]);
  expect(forkNames({ name: "a", pattern: "b", count: 2 })).toEqual(["b-1", "b-2"]);
  expect(forkNames({ name: "a", pattern: "b{}c", count: 2 })).toEqual(["b1c", "b2c"]);
  for (const pattern of ["B", "{}", "b-", "b_{}"]) {
    expect(() => forkNames({ name: "a", pattern, count: 1 })).toThrow("invalid machine name");
  }
});

test("a port of the host is for one copy", () => {
  const port = { hostPort: 8080, guestPort: 80, protocol: "tcp" } as const;
  assertFreePorts({ name: "a", ports: [port] });
  assertFreePorts({ name: "a", count: 3, ports: [{ ...port, hostPort: 0 }] });
  expect(() => assertFreePorts({ name: "a", count: 3, ports: [port] })).toThrow("8080");
});

const copy = (name: string) => Promise.resolve({ id: `id-${name}`, name } as Vm);
const failing = () =>
  Promise.reject(new BangerError("limit_exceeded", "no room", { hint: "less" }));

test("where one fails the others are named; where all are called off none stays", async () => {
  const removed: string[] = [];
  const remove = async (id: string) => void removed.push(id);
  const made = await allMade("a", [copy("b"), copy("c")], { remove });
  expect(made.map(({ name }) => name)).toEqual(["b", "c"]);
  const some = await bangerErrorOf(allMade("a", [copy("b"), failing()], { remove }));
  expect(some).toMatchObject({
    code: "limit_exceeded",
    hint: expect.stringContaining("rm --force b"),
  });
  expect(some.message).toBe('Cannot create 1 of 2 copies of "a": no room; running: b');
  expect(removed).toEqual([]);
  const none = await bangerErrorOf(allMade("a", [failing()], { remove }));
  expect(none.hint).toBe("less");
  const signal = AbortSignal.abort();
  await bangerErrorOf(allMade("a", [copy("b"), failing()], { remove, signal }));
  expect(removed).toEqual(["id-b"]);
});
