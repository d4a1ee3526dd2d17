import { expect, test } from "bun:test";
import { slices, sortSlowly } from "./slices.ts";

test("long work leaves turns to others", async () => {
  let turns = 0;
  let isOver = false;
  const others = (async () => {
    while (!isOver) {
      await new Promise((resolve) => setImmediate(resolve));
      turns++;
    }
  })();
  const pause = slices();
  for (const end = performance.now() + 100; performance.now() < end; ) await pause();
  isOver = true;
  await others;
  expect(turns).toBeGreaterThan(1);
});

test("sorts as the built-in sort does, whatever the length, and keeps equals in order", async () => {
  for (const length of [0, 1, 4096, 4097, 12_289, 50_000]) {
    const items = Array.from({ length }, (_, index) => ({
      key: (index * 7919) % 1009,
      index,
    }));
    const wanted = items.toSorted((a, b) => a.key - b.key);
    await sortSlowly(items, (a, b) => a.key - b.key);
    expect(items).toEqual(wanted);
  }
});
