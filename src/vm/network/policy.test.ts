/** Admission, restarts, timers and events: what the lifecycle decides without a machine. */
import { expect, test } from "bun:test";
import type { VmExit } from "#api/vm.ts";
import { GiB, MiB } from "#base/size.ts";
import { Events } from "#vm/events.ts";
import { assertPossible, assertRoom, RESERVE_BYTES, SPACE_MIN_BYTES } from "#vm/life/admission.ts";
import { IdleTracker } from "#vm/life/idle.ts";
import { isToRestart, RestartBackoff } from "#vm/life/restart.ts";
import { idleLimit } from "#vm/life/schedule.ts";
import { Starting } from "#vm/life/starting.ts";
import { Timers } from "#vm/life/timers.ts";
import type { VmRecord } from "#vm/records.ts";
import type { VmSpec } from "#vm/spec.ts";

const spec: VmSpec = {
  mode: "direct",
  cpus: 1,
  memory_mib: 1024,
  disk_bytes: 1,
  network: "none",
  mac: "02:00:00:00:00:01",
  machineId: "0",
  env: {},
};
const vm = { name: "box", spec };

test("a machine fits when memory is left for it, its monitor, the promised and the host", () => {
  const room = { memory_bytes: 2 * GiB, promised_bytes: 0, disk_bytes: GiB };
  assertRoom(vm, room);
  const rest_bytes = 2 * GiB - RESERVE_BYTES - GiB;
  expect(() => assertRoom(vm, { ...room, promised_bytes: rest_bytes })).toThrow(
    "committed to running machines",
  );
  expect(() => assertRoom(vm, { ...room, memory_bytes: 512 * MiB })).toThrow(
    "Cannot start machine",
  );
});

test("a machine that this computer could never hold is refused with the numbers", () => {
  const host = { cpus: 2, memory_bytes: 4 * GiB, disk_bytes: 100 * GiB };
  assertPossible({ cpus: 2, disk_bytes: 100 * GiB }, host);
  assertPossible({}, host);
  expect(() => assertPossible({ cpus: 3 }, host)).toThrow("3 CPUs, the host has 2");
  expect(() => assertPossible({ memory_mib: 4096 }, host, 'change "box"')).toThrow(
    'Cannot change "box": it needs 4.0 GiB of memory, the host has 4.0 GiB',
  );
  // What is possible fits where nothing else runs.
  const memory_mib = 4096 - 256 - 32;
  assertPossible({ memory_mib }, host);
  assertRoom({ name: "box", spec: { ...spec, memory_mib } }, { ...host, promised_bytes: 0 });
  expect(() => assertPossible({ memory_mib: memory_mib + 1 }, host)).toThrow("of memory");
  expect(() => assertPossible({ disk_bytes: 101 * GiB }, host)).toThrow(
    "to 101 GiB, the host's file system has 100 GiB",
  );
});

test("a machine does not fit on a full disk", () => {
  const room = { memory_bytes: 8 * GiB, promised_bytes: 0, disk_bytes: SPACE_MIN_BYTES - 1 };
  expect(() => assertRoom(vm, room)).toThrow("not enough disk space");
});

test("only a machine that is meant to run is started again, and as its policy says", () => {
  const record = (restart: "no" | "on-failure" | "always", intent?: "run") =>
    ({ spec: { ...spec, restart }, intent }) as VmRecord;
  expect(isToRestart(record("always", "run"), { reason: "poweroff" })).toBe(true);
  expect(isToRestart(record("on-failure", "run"), { reason: "poweroff" })).toBe(false);
  expect(isToRestart(record("on-failure", "run"), { reason: "panic" })).toBe(true);
  expect(isToRestart(record("no", "run"), { reason: "crashed" })).toBe(false);
  expect(isToRestart(record("always"), { reason: "crashed" })).toBe(false);
  expect(isToRestart(record("no", "run"), { reason: "reboot" })).toBe(true);
  expect(isToRestart(record("always"), { reason: "reboot" })).toBe(false);
  const failed = { reason: "poweroff", status: 5 } as const;
  expect(isToRestart(record("on-failure", "run"), failed)).toBe(true);
  expect(isToRestart(record("on-failure", "run"), { ...failed, status: 0 })).toBe(false);
  expect(isToRestart(record("no", "run"), failed)).toBe(false);
});

test("pauses double up to a minute, and start afresh after a good run", () => {
  const backoff = new RestartBackoff();
  const now_ms = Date.parse("2026-01-01T01:00:00.000Z");
  const ended = (ran_ms: number, reason: VmExit["reason"]) => ({
    startedAt: new Date(now_ms - ran_ms).toISOString(),
    exit: { reason, at: new Date(now_ms).toISOString() },
  });
  const next = (ran_ms: number) => backoff.next_ms("a", ended(ran_ms, "crashed"), now_ms);
  const row = Array.from({ length: 8 }, () => next(10));
  expect(row).toEqual([1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
  expect(next(120_000)).toBe(1000);
  const reboots = Array.from({ length: 3 }, () =>
    backoff.next_ms("b", ended(10, "reboot"), now_ms),
  );
  expect(reboots).toEqual([0, 2000, 4000]);
});

test("a timer is replaced by a newer one of the same machine, and can be cancelled", async () => {
  const timers = new Timers();
  const fired: string[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  timers.set("a", Date.now(), () => fired.push("old"));
  timers.set("b", Date.now(), () => fired.push("cancelled"));
  timers.cancel("b");
  timers.set("a", Date.now() + 5, () => {
    fired.push("new");
    resolve();
  });
  expect(timers.has("a")).toBe(true);
  // Timers keep no program running, so something else has to.
  const alive = setInterval(() => {}, 1000);
  await promise;
  clearInterval(alive);
  expect(fired).toEqual(["new"]);
  expect(timers.has("a")).toBe(false);
});

test("a pause is as long as it is, however the clock is set meanwhile", async () => {
  let clock_ms = 1000;
  const timers = new Timers(() => clock_ms);
  const { promise, resolve } = Promise.withResolvers<void>();
  timers.setIn("a", 10, resolve);
  clock_ms += 10;
  const alive = setInterval(() => {}, 1000);
  await promise;
  clearInterval(alive);
});

test("of two idle times the shorter one counts, and a stop before a suspension", () => {
  expect(idleLimit({})).toMatchObject({ limit_ms: undefined });
  expect(idleLimit({ idleStop_ms: 5 })).toEqual({ limit_ms: 5, action: "stop" });
  expect(idleLimit({ idleSuspend_ms: 5 })).toEqual({ limit_ms: 5, action: "suspend" });
  expect(idleLimit({ idleStop_ms: 9, idleSuspend_ms: 5 })).toMatchObject({ action: "suspend" });
  expect(idleLimit({ idleStop_ms: 5, idleSuspend_ms: 9 })).toMatchObject({ action: "stop" });
  expect(idleLimit({ idleStop_ms: 5, idleSuspend_ms: 5 })).toMatchObject({ action: "stop" });
  expect(idleLimit({ idleStop_ms: 0, idleSuspend_ms: 5 })).toMatchObject({ action: "suspend" });
  expect(idleLimit({ idleStop_ms: 5, idleSuspend_ms: 0 })).toMatchObject({ action: "stop" });
});

test("a machine is idle when nobody holds it, from the last one on", async () => {
  const use = new IdleTracker();
  const [one, two] = [use.hold(), use.hold()];
  one[Symbol.dispose]();
  one[Symbol.dispose]();
  expect(use.idle_ms()).toBe(0);
  two[Symbol.dispose]();
  expect(use.idle_ms()).toBeGreaterThan(0);
  const { promise, reject } = Promise.withResolvers<void>();
  use.holdUntil(promise);
  expect(use.idle_ms()).toBe(0);
  reject(new Error("it failed"));
  await promise.catch(() => {});
  expect(use.idle_ms()).toBeGreaterThan(0);
});

test("a start is called off by who asked for it, by a kill, or by its deadline, and says which", async () => {
  const client = new AbortController();
  using byClient = new Starting({ timeout_ms: 60_000, signal: client.signal });
  expect(byClient.reason("box")).toBeUndefined();
  client.abort();
  expect(byClient.signal.aborted).toBe(true);
  expect(byClient.reason("box")?.code).toBe("cancelled");
  using byKill = new Starting({ timeout_ms: 60_000 });
  byKill.abort();
  expect(byKill.reason("box")?.code).toBe("cancelled");
  const [over, later] = [-1000, 60_000].map((ms) => new Date(Date.now() + ms).toISOString());
  expect(byKill.reason("box", over)?.message).toBe('Cannot start "box": its --ttl expired');
  expect(byKill.reason("box", later)?.code).toBe("cancelled");
  using patient = new Starting({ timeout_ms: 2 ** 40 });
  using late = new Starting({ timeout_ms: 1 });
  await new Promise((resolve) => late.signal.addEventListener("abort", resolve));
  expect(patient.signal.aborted).toBe(false);
  expect(late.reason("box")).toMatchObject({ code: "timeout" });
  expect(late.reason("box")?.message).toBe(
    'Cannot start "box": timed out waiting for it to become ready after 1ms',
  );
});

test("a listener hears what happens after it began, until it stops", async () => {
  const events = new Events();
  const abort = new AbortController();
  events.publish({ id: "a", name: "early", state: "stopped" });
  const heard = events.listen(abort.signal);
  events.publish({ id: "a", name: "box", state: "starting" });
  events.publish({ id: "a", name: "box", state: "running" });
  expect((await heard.next()).value).toMatchObject({ name: "box", state: "starting" });
  expect((await heard.next()).value).toMatchObject({ name: "box", state: "running" });
  const last = heard.next();
  abort.abort();
  expect((await last).done).toBe(true);
});

test("a listener that does not read costs no more than its newest thousand events", async () => {
  const events = new Events();
  const abort = new AbortController();
  const heard = events.listen(abort.signal);
  for (let at = 0; at < 1500; at++) {
    events.publish({ id: String(at), name: "box", state: "stopped" });
  }
  expect((await heard.next()).value).toMatchObject({ id: "500" });
  abort.abort();
  await heard.return();
});
