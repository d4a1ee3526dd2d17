import { afterEach, expect, setSystemTime, test } from "bun:test";
import type { Agent } from "#guest/agent.ts";
import { keepClock, syncClock, watchClock } from "./clock.ts";

afterEach(() => {
  setSystemTime();
});

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

/** A guest whose clock can be put wrong; it counts how often it is set. `there`, `back`: what a message takes. */
function guestClock({ there_ms = 0, back_ms = 0 } = {}) {
  const closed = Promise.withResolvers<void>();
  const guest = { behind_ms: 0, sets: 0, looks: 0, hangUp: closed.resolve };
  const pass = (ms: number) => void (ms > 0 && setSystemTime(Date.now() + ms));
  const agent = {
    closed: closed.promise,
    async health() {
      guest.looks++;
      pass(there_ms);
      const time_unix_ns = BigInt(Date.now() - guest.behind_ms) * 1_000_000n;
      pass(back_ms);
      return { time_unix_ns };
    },
    async setTime(time_ns: bigint) {
      pass(there_ms);
      guest.behind_ms = Date.now() - Number(time_ns / 1_000_000n);
      guest.sets++;
    },
  } as unknown as Agent;
  return { guest, agent };
}

test("keepClock() sets a clock whenever it has drifted, and ends with the connection", async () => {
  const { guest, agent } = guestClock();
  guest.behind_ms = 35_000;
  keepClock(agent, "tcg", 1);
  while (guest.sets < 1) await Bun.sleep(1);
  guest.behind_ms = -6000;
  while (Math.abs(guest.behind_ms) >= 1000) await Bun.sleep(1);
  guest.hangUp();
  await Bun.sleep(5);
  const { looks } = guest;
  await Bun.sleep(20);
  expect(guest.looks).toBe(looks);
});

test.each([
  { there_ms: 0, back_ms: 5000 },
  { there_ms: 5000, back_ms: 0 },
])("syncClock() leaves the clock of a guest that is slow to answer: %o", async (delays) => {
  const { guest, agent } = guestClock(delays);
  await syncClock(agent);
  expect(guest.sets).toBe(0);
});

test("syncClock() sets a clock to the time at which the guest takes it", async () => {
  const { guest, agent } = guestClock({ there_ms: 3000, back_ms: 3000 });
  guest.behind_ms = -1_000_000;
  await syncClock(agent);
  expect(guest.sets).toBe(1);
  expect(Math.abs(guest.behind_ms)).toBeLessThan(1000);
});
