import { expect, test } from "bun:test";
import type { Templates } from "#snapshots/templates.ts";
import { bangerErrorOf } from "#test/expect-error.ts";
import { greetingOf } from "./boot.ts";

test("a template whose machine never answers, or ends, is removed, but not for who gives up", async () => {
  const dropped: string[] = [];
  const templates = { drop: (key: string) => void dropped.push(key) } as unknown as Templates;
  const never = new Promise<string>(() => {});
  const greet = (greeting: Promise<string>, signal?: AbortSignal) =>
    greetingOf({ templates }, greeting, { template: "key", signal, limit_ms: 20 });
  expect(await greet(Promise.resolve("hello"))).toBe("hello");
  expect((await bangerErrorOf(greet(never, AbortSignal.abort()))).code).toBe("cancelled");
  expect(dropped).toEqual([]);
  const silent = await bangerErrorOf(greet(never));
  expect(silent.message).toBe(
    "Cannot restore from the template, which is removed: no answer after 20ms",
  );
  const ended = await bangerErrorOf(greet(Promise.reject(new Error("it has stopped"))));
  expect(ended.message).toEndWith("it has stopped");
  expect(dropped).toEqual(["key", "key"]);
});
