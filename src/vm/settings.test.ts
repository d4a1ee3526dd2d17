import { expect, test } from "bun:test";
import type { VmSettings } from "#api/vm.ts";
import { bangerErrorOf } from "#test/expect-error.ts";
import { vmStore } from "#test/vm-store.ts";
import { getVm, insertVm, toApi, updateVm } from "./records.ts";
import { assertNotOver, changedSpec, pendingAfter } from "./settings.ts";
import type { VmSpec } from "./spec.ts";

const store = vmStore();

const spec: VmSpec = {
  mode: "direct",
  cpus: 1,
  memory_mib: 512,
  disk_bytes: 1 << 30,
  network: "none",
  mac: "02:00:00:00:00:01",
  machineId: "0".repeat(32),
  env: { KEEP: "1", DROP: "2" },
  labels: { team: "web", old: "x" },
  ttl_ms: 60_000,
};

function machine(name: string) {
  insertVm(store.db, { id: `${name}00000000`, name, imageId: "img1", kernel: "k", spec });
  const vm = getVm(store.db, name);
  return updateVm(store.db, vm, { state: "stopped" });
}

test("settings that are given change, the others stay, null takes away", () => {
  const vm = machine("box");
  const next = changedSpec(vm, {
    memory_mib: 1024,
    env: { DROP: null, NEW: "3" },
    labels: { old: null, team: "db" },
    ttl_ms: null,
  });
  expect(next).toEqual({
    ...spec,
    ttl_ms: undefined as never,
    memory_mib: 1024,
    env: { KEEP: "1", NEW: "3" },
    labels: { team: "db" },
  });
  expect("ttl_ms" in next).toBe(false);
});

test("a disk does not shrink, and labels have a limit", async () => {
  const vm = machine("box");
  const failing = (settings: VmSettings) =>
    bangerErrorOf(Promise.try(() => changedSpec(vm, settings)));
  const shrink = await failing({ disk_bytes: 1 << 29 });
  expect(shrink.message).toContain("Cannot shrink");
  const labels = Object.fromEntries(Array.from({ length: 64 }, (_, at) => [`l${at}`, ""]));
  expect((await failing({ labels })).code).toBe("limit_exceeded");
});

test("what a running machine lacks is pending, of a stopped one nothing is", () => {
  const vm = machine("box");
  const next = changedSpec(vm, { cpus: 2, restart: "always", labels: { a: "b" } });
  expect(pendingAfter(vm, { spec: next })).toEqual({});
  const running = updateVm(store.db, vm, { state: "starting" });
  expect(pendingAfter(running, { spec: next }).pending).toEqual(["cpus"]);
  const later = { ...running, spec: { ...next, ...pendingAfter(running, { spec: next }) } };
  const env = changedSpec(later, { env: { A: "1" } });
  expect(pendingAfter(later, { spec: env }).pending).toEqual(["cpus", "env"]);
});

test("what is set back to what the machine runs with is not pending any more", () => {
  let vm = updateVm(store.db, machine("box"), { state: "starting" });
  const set = (settings: VmSettings) => {
    const changed = changedSpec(vm, settings);
    vm = { ...vm, spec: { ...changed, ...pendingAfter(vm, { spec: changed }) } };
    return vm.spec.pending;
  };
  const all = { cpus: 2, memory_mib: 1024, disk_bytes: 2 ** 31, hostname: "other" };
  expect(set({ ...all, env: { NEW: "1" } })).toEqual(["cpus", "memory", "disk", "hostname", "env"]);
  expect(set({ cpus: 1, memory_mib: 512 })).toEqual(["disk", "hostname", "env"]);
  expect(set({ disk_bytes: 1 << 30, env: { NEW: null } })).toEqual(["hostname"]);
  expect(() => set({ disk_bytes: 1 << 29 })).toThrow("Cannot shrink");
  expect(set({ env: { KEEP: null } })).toEqual(["hostname", "env"]);
  expect(set({ env: { KEEP: "1" } })).toEqual(["hostname"]);
  expect(set({ hostname: "box" })).toEqual([]);
});

test("a name is pending until it is the one again that the machine was started with", () => {
  let vm = updateVm(store.db, machine("box"), { state: "starting" });
  const rename = (name: string) => {
    vm = { ...vm, name, spec: { ...vm.spec, ...pendingAfter(vm, { name }) } };
    return vm.spec.pending;
  };
  expect(rename("other")).toEqual(["name"]);
  expect(rename("third")).toEqual(["name"]);
  expect(rename("box")).toEqual([]);
});

test("a name that is taken stays with its machine", async () => {
  machine("one");
  const two = machine("two");
  expect(toApi(updateVm(store.db, two, { name: "three" })).name).toBe("three");
  const error = await bangerErrorOf(Promise.try(() => updateVm(store.db, two, { name: "one" })));
  expect([error.code, error.message]).toEqual([
    "already_exists",
    'Cannot rename machine "two" to "one": the name is already in use',
  ]);
});

test("an age that a machine already has is refused, not carried out", async () => {
  const createdAt = new Date(Date.now() - 90_000).toISOString();
  const vm = { ...machine("aged"), createdAt };
  assertNotOver(vm, 3_600_000);
  const { message, hint } = await bangerErrorOf(Promise.try(() => assertNotOver(vm, 60_000)));
  expect(message).toStartWith('Cannot set --ttl of "aged" to 1m');
  expect(hint).toContain("banger vm rm --force aged");
});
