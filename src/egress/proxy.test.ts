import { expect, test } from "bun:test";
import { mayOpen } from "./proxy.ts";

/** What each machine has after all of them have taken what they could get, in turns. */
function greedy(machines: number): number[] {
  const open: number[] = Array.from({ length: machines }, () => 0);
  let all = 0;
  for (let isMoving = true; isMoving; ) {
    isMoving = false;
    for (const [index, own] of open.entries()) {
      if (!mayOpen({ own, all })) continue;
      open[index] = own + 1;
      all++;
      isMoving = true;
    }
  }
  return open;
}

test("a machine alone has its 1,024 connections", () => {
  expect(greedy(1)).toEqual([1024]);
  expect(greedy(4)).toEqual([1024, 1024, 1024, 1024]);
});

test("machines that take all they can get leave as much for the next as each of them has", () => {
  for (const machines of [8, 16, 100]) {
    const open = greedy(machines);
    const all = open.reduce((sum, each) => sum + each, 0);
    expect(Math.max(...open) - Math.min(...open)).toBeLessThanOrEqual(1);
    expect(mayOpen({ own: Math.min(...open) - 2, all })).toBe(true);
    expect(greedyNext(all)).toBeGreaterThanOrEqual(Math.floor(8192 / (machines + 1) / 2));
  }
});

/** How many a machine gets that comes last. */
function greedyNext(all: number): number {
  let own = 0;
  while (mayOpen({ own, all: all + own })) own++;
  return own;
}
