import { expect, test } from "bun:test";
import { watchClock } from "./clock.ts";

test("watchClock() tells of a sleep and of a clock that was set, once each", async () => {
  let now_ms = 1_000_000;
  let steady_ms = 0;
  let jumps = 0;
  const looked = async (change: () => void): Promise<number> => {
    change();
    await Bun.sleep(5);
    return jumps;
  };
  using _ = watchClock(() => jumps++, { now_ms: () => now_ms, steady_ms: () => steady_ms }, 1);
  const pass = (ms: number): void => {
    now_ms += ms;
    steady_ms += ms;
  };
  expect(await looked(() => pass(3_600_000))).toBe(0);
  // Asleep for an hour.
  expect(await looked(() => (now_ms += 3_600_000))).toBe(1);
  expect(await looked(() => pass(60_000))).toBe(1);
  expect(await looked(() => (now_ms -= 5_000))).toBe(2);
  expect(await looked(() => (now_ms += 100))).toBe(2);
});
