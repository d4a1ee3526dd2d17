import { expect, test } from "bun:test";
import type { VmState } from "#api/vm.ts";
import type { VmRecord } from "#vm/records.ts";
import { hostBootId } from "./boot-id.ts";
import { assertHere, isElsewhere, thisProcess } from "./owner.ts";
import { recoveryOf, stepOf } from "./recovery.ts";

test("what is half made or half removed goes", () => {
  for (const state of ["creating", "removing"] as const) {
    expect(actionOf({ state })).toBe("remove");
  }
  expect(actionOf({ state: "stopped", intent: "create" })).toBe("remove");
});

test("what runs goes on, and what was being stopped is stopped", () => {
  expect(actionOf({ state: "running", isAlive: true })).toBe("adopt");
  expect(actionOf({ state: "starting", isAlive: true })).toBe("adopt");
  expect(actionOf({ state: "stopping", isAlive: true })).toBe("end");
});

test("what stands still or was on its way there is taken over, and what is on disk is left there", () => {
  for (const state of ["paused", "suspending", "waking"] as const) {
    expect(actionOf({ state, intent: "run", isAlive: true })).toBe("adopt");
    expect(actionOf({ state, intent: "run", isAlive: false })).toBe("stop");
  }
  expect(actionOf({ state: "suspended", intent: "run" })).toBeUndefined();
});

test("a record that says more than there is, is brought down to it", () => {
  for (const state of ["starting", "running", "stopping"] as const) {
    expect(actionOf({ state, isAlive: false })).toBe("stop");
  }
});

test("a stopped machine is left alone, unless it should be running", () => {
  expect(actionOf({ state: "stopped" })).toBeUndefined();
  expect(actionOf({ state: "stopped", intent: "run" })).toBe("start");
});

test("one that was made for a command goes with the daemon that ran the command", () => {
  expect(actionOf({ state: "running", isAlive: true, ephemeral: true })).toBe("end");
  expect(actionOf({ state: "stopped", ephemeral: true })).toBe("remove");
});

test("one whose process in front of it is gone is ended, and not started again", () => {
  const owner = { pid: 1, startTime_ticks: 0, hostBootId: hostBootId() };
  expect(actionOf({ state: "running", isAlive: true, owner })).toBe("end");
  expect(actionOf({ state: "running", isAlive: false, owner })).toBe("stop");
  expect(actionOf({ state: "stopped", intent: "run", owner })).toBeUndefined();
  expect(actionOf({ state: "stopped", ephemeral: true, owner })).toBe("remove");
});

test("a machine is another process's while that one lives, by pid, start time and boot", () => {
  const here = thisProcess();
  const vm = (owner: VmRecord["owner"]) => machine({ state: "running", owner });
  expect(isElsewhere(vm(undefined), undefined)).toBe(false);
  expect(isElsewhere(vm(here), here)).toBe(false);
  expect(isElsewhere(vm(here), undefined)).toBe(true);
  expect(isElsewhere(vm({ ...here, startTime_ticks: 1 }), undefined)).toBe(false);
  expect(isElsewhere(vm({ ...here, hostBootId: "another" }), undefined)).toBe(false);
  expect(() => assertHere(vm(here), "start", undefined)).toThrow(
    `it runs in the foreground of process ${process.pid}`,
  );
});

test("a pid counts only with its start time, and only in this boot of the host", () => {
  const handle = {
    driver: "qemu" as const,
    accelerator: "tcg" as const,
    pid: process.pid,
    startTime_ticks: 1,
    runtimeDir: "/nowhere",
  };
  const stale = machine({ state: "running" });
  stale.runtime = { hostBootId: hostBootId(), handle };
  expect(recoveryOf(stale)).toEqual({
    action: "stop",
    why: `its process ${process.pid} has exited`,
  });
  stale.runtime = { hostBootId: "another", handle };
  expect(recoveryOf(stale)).toEqual({ action: "stop", why: "the host was rebooted" });
  stale.runtime = { hostBootId: hostBootId() };
  expect(recoveryOf(stale)?.why).toBe("it was running and had no process yet");
});

test("a step names the machine", () => {
  const step = stepOf(machine({ state: "creating" }), { action: "remove", why: "so" });
  expect(step).toEqual({ machine: "box", action: "remove", detail: "so" });
});

interface Case {
  state: VmState;
  intent?: VmRecord["intent"];
  isAlive?: boolean;
  ephemeral?: boolean;
  owner?: VmRecord["owner"];
}

function actionOf(given: Case): string | undefined {
  return recoveryOf(machine(given), { isAlive: given.isAlive ?? false })?.action;
}

function machine({ state, intent, ephemeral, owner }: Case): VmRecord {
  return {
    id: "abcd",
    name: "box",
    state,
    imageId: "img1",
    image: "debian",
    token: undefined,
    kernel: "debian-6.12",
    spec: {
      mode: "direct",
      cpus: 1,
      memory_mib: 256,
      disk_bytes: 1,
      network: "none",
      mac: "02:00:00:00:00:01",
      machineId: "0",
      env: {},
      ephemeral,
    },
    runtime: undefined,
    exit: undefined,
    warning: undefined,
    intent,
    owner,
    createdAt: "2026-01-01T00:00:00.000Z",
    startedAt: undefined,
  };
}
