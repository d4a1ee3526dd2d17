import { expect, test } from "bun:test";
import { formatDuration, parseDuration, timerDelay_ms } from "./duration.ts";

test.each([
  ["30", 30_000],
  ["90s", 90_000],
  ["1h30m", 5_400_000],
  ["250ms", 250],
  ["2d", 172_800_000],
  ["0", 0],
])("parseDuration() reads %s", (text, ms) => {
  expect(parseDuration(text)).toBe(ms);
});

test.each(["", "1x", "m", "-5s", "1h 30m", "5 s", "1hm"])("parseDuration() refuses %p", (text) => {
  expect(() => parseDuration(text)).toThrow("invalid duration");
});

test("no delay that is given overflows a timer", async () => {
  for (const ms of [2 ** 31, parseDuration("9999d"), Number.MAX_VALUE, Number.POSITIVE_INFINITY]) {
    const { promise, resolve } = Promise.withResolvers<string>();
    const timer = setTimeout(() => resolve("fired"), timerDelay_ms(ms));
    expect(await Promise.race([promise, Bun.sleep(5).then(() => "waits")])).toBe("waits");
    clearTimeout(timer);
  }
  expect(timerDelay_ms(30_000)).toBe(30_000);
});

test("formatDuration() shows two units at the most", () => {
  expect(formatDuration(120)).toBe("120ms");
  expect(formatDuration(4200)).toBe("4.2s");
  expect(formatDuration(192_000)).toBe("3m12s");
  expect(formatDuration(7_500_000)).toBe("2h5m");
  expect(formatDuration(76 * 3_600_000)).toBe("3d4h");
});
