import { expect, test } from "bun:test";
import { bangerErrorOf } from "#test/expect-error.ts";
import { BlobGuard } from "./blob-guard.ts";

const asIs = (digests: string[]): string[] => digests;

test("sweep() waits for those who open, and sees what they hold", async () => {
  const guard = new BlobGuard();
  const opening = Promise.withResolvers<string[]>();
  const held = guard.hold(() => opening.promise, { digestsOf: asIs });
  let swept: boolean[] | undefined;
  const sweep = guard.sweep((isHeld) => {
    swept = ["a", "b"].map(isHeld);
  });
  await Bun.sleep(1);
  expect(swept).toBeUndefined();
  opening.resolve(["a"]);
  await sweep;
  expect(swept).toEqual([true, false]);
  const first = await held;
  const second = await guard.hold(async () => ["a"], { digestsOf: asIs });
  first[Symbol.dispose]();
  first[Symbol.dispose]();
  expect(guard.isHeld("a")).toBe(true);
  second[Symbol.dispose]();
  expect(guard.isHeld("a")).toBe(false);
});

test("hold() waits while somebody wants to sweep, so that sweeps are not put off for ever", async () => {
  const guard = new BlobGuard();
  const opening = Promise.withResolvers<string[]>();
  const first = guard.hold(() => opening.promise, { digestsOf: asIs });
  await Bun.sleep(1);
  const order: string[] = [];
  const sweep = guard.sweep(() => order.push("sweep"));
  const second = guard.hold(
    async () => {
      order.push("open");
      return [];
    },
    { digestsOf: asIs },
  );
  opening.resolve([]);
  await Promise.all([first, sweep, second]);
  expect(order).toEqual(["sweep", "open"]);
});

test("who fails to open, or is cancelled while waiting, holds up nobody", async () => {
  const guard = new BlobGuard();
  const failing = guard.hold(() => Promise.reject(new Error("no")), { digestsOf: asIs });
  expect(failing).rejects.toThrow("no");
  expect(await guard.sweep(() => 1)).toBe(1);
  const opening = Promise.withResolvers<string[]>();
  const held = guard.hold(() => opening.promise, { digestsOf: asIs });
  const abort = new AbortController();
  const sweep = bangerErrorOf(guard.sweep(() => 1, abort.signal));
  abort.abort();
  expect((await sweep).code).toBe("cancelled");
  opening.resolve([]);
  (await held)[Symbol.dispose]();
  expect(await guard.sweep(() => 2)).toBe(2);
});
