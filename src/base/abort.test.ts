import { expect, test } from "bun:test";
import { bangerErrorOf } from "#test/expect-error.ts";
import { abortError, onAbort, orAborted, sleep, throwIfAborted } from "./abort.ts";
import { BangerError } from "./error.ts";

test("orAborted() gives the value, the failure, or the signal's error", async () => {
  const { signal } = new AbortController();
  expect(await orAborted(Promise.resolve(1), signal)).toBe(1);
  expect(await orAborted(Promise.resolve(2), undefined)).toBe(2);
  await expect(orAborted(Promise.reject(new Error("its own")), signal)).rejects.toThrow("its own");
  const controller = new AbortController();
  const waiting = bangerErrorOf(orAborted(new Promise(() => {}), controller.signal));
  controller.abort();
  expect((await waiting).code).toBe("cancelled");
  const late = AbortSignal.abort(new BangerError("timeout", "Cannot wait: it is late"));
  expect((await bangerErrorOf(orAborted(new Promise(() => {}), late))).code).toBe("timeout");
});

test("a promise that fails after the signal is nobody's unhandled rejection", async () => {
  const { promise, reject } = Promise.withResolvers<never>();
  await bangerErrorOf(orAborted(promise, AbortSignal.abort()));
  reject(new Error("late"));
  await Bun.sleep(1);
});

test("onAbort() calls at once, later, or never", () => {
  let calls = 0;
  const call = (): void => void calls++;
  onAbort(AbortSignal.abort(), call)[Symbol.dispose]();
  expect(calls).toBe(1);
  const controller = new AbortController();
  onAbort(controller.signal, call)[Symbol.dispose]();
  using _ = onAbort(controller.signal, call);
  controller.abort();
  expect(calls).toBe(2);
  using _none = onAbort(undefined, call);
});

test("sleep() ends early, and not at all once the signal has fired", async () => {
  await sleep(1);
  const controller = new AbortController();
  const sleeping = bangerErrorOf(sleep(100_000, controller.signal));
  controller.abort("why");
  expect(await sleeping).toMatchObject({ code: "cancelled", cause: "why" });
  expect((await bangerErrorOf(sleep(100_000, AbortSignal.abort()))).code).toBe("cancelled");
  expect(() => throwIfAborted(AbortSignal.abort())).toThrow(abortError(AbortSignal.abort()));
});
