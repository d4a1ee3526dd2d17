import { expect, test } from "bun:test";
import type { VmSettings } from "#api/vm.ts";
import { bangerErrorOf } from "#test/expect-error.ts";
import { vmStore } from "#test/vm-store.ts";
import { getVm, insertVm, toApi, updateVm, type VmSpec } from "./records.ts";
import { assertNotOver, changedSpec, pendingAfter } from "./settings.ts";

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
  expect(pendingAfter(vm, next)).toEqual({});
  const running = updateVm(store.db, vm, { state: "starting" });
  expect(pendingAfter(running, next)).toEqual({ pending: ["cpus"] });
  const later = { ...running, spec: { ...next, pending: ["cpus"] as const } };
  const env = changedSpec(later, { env: { A: "1" } });
  expect(pendingAfter(later, env)).toEqual({ pending: ["cpus", "env"] });
});

test("a name that is taken stays with its machine", async () => {
  machine("one");
  const two = machine("two");
  expect(toApi(updateVm(store.db, two, { name: "three" })).name).toBe("three");
  const error = await bangerErrorOf(Promise.try(() => updateVm(store.db, two, { name: "one" })));
  expect([error.code, error.message]).toEqual([
    "already_exists",
    'Cannot rename machine "two" to "one": the name is taken',
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
