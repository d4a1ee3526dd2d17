import { expect, test } from "bun:test";
import { type VmState, vmState } from "#api/vm.ts";
import { BangerError } from "#base/error.ts";
import { parseAddress } from "#net/address.ts";
import { vmStore } from "#test/vm-store.ts";
import { assertTransition, requireState } from "./machine.ts";
import { makeName } from "./names.ts";
import {
  findUnreadableVm,
  findVm,
  getVm,
  insertVm,
  listVms,
  type NewVm,
  reservedAddresses,
  toApi,
  unreadableVms,
  updateVm,
  vmIds,
} from "./records.ts";

const store = vmStore();

function newVm(id: string, name: string): NewVm {
  return {
    id,
    name,
    imageId: "img1",
    kernel: "debian-6.12",
    spec: {
      mode: "direct",
      cpus: 2,
      memory_mib: 512,
      disk_bytes: 1 << 30,
      network: "none",
      mac: "02:00:00:00:00:01",
      machineId: "0".repeat(32),
      env: {},
    },
  };
}

test("a machine is found by name, by id and by a beginning of its id that is its alone", () => {
  insertVm(store.db, newVm("abcd1111", "one"));
  insertVm(store.db, newVm("abcd2222", "two"));
  expect(getVm(store.db, "one").id).toBe("abcd1111");
  expect(getVm(store.db, "abcd2222").name).toBe("two");
  expect(getVm(store.db, "abcd2").name).toBe("two");
  expect(findVm(store.db, "abcd")).toBeUndefined();
  expect(findVm(store.db, "abc")).toBeUndefined();
});

test("an unknown name is answered with the one that was meant", () => {
  insertVm(store.db, newVm("abcd1111", "testbox"));
  try {
    getVm(store.db, "tesbox");
    expect.unreachable();
  } catch (error) {
    expect(error).toMatchObject({ code: "not_found", hint: 'Did you mean "testbox"?' });
  }
});

test("a name is taken once", () => {
  insertVm(store.db, newVm("abcd1111", "one"));
  expect(() => insertVm(store.db, newVm("abcd2222", "one"))).toThrow("the name is already in use");
});

test("a change of state must be legal, and what is not named stays", () => {
  insertVm(store.db, newVm("abcd1111", "one"));
  const vm = updateVm(store.db, getVm(store.db, "one"), { state: "stopped", warning: "careful" });
  updateVm(store.db, vm, { state: "starting", runtime: { hostBootId: "b" } });
  const now = getVm(store.db, "one");
  expect(now).toMatchObject({
    state: "starting",
    warning: "careful",
    runtime: { hostBootId: "b" },
  });
  expect(() => updateVm(store.db, now, { state: "creating" })).toThrow("cannot go from starting");
  expect(updateVm(store.db, now, { state: "stopped", runtime: null }).runtime).toBeUndefined();
});

test("what clients see holds no address in a mode without one", () => {
  insertVm(store.db, newVm("abcd1111", "one"));
  const [vm] = listVms(store.db).map(toApi);
  expect(vm?.network).toEqual({ mode: "none" });
  expect(vm?.vmm).toBeUndefined();
});

test("removal is the end: no state follows it", () => {
  const states: VmState[] = ["creating", "stopped", "starting", "running", "stopping"];
  for (const state of states) {
    expect(() => assertTransition("removing", state)).toThrow("Assertion failed");
  }
});

test("a machine is suspended only out of running, and from there only wakes or ends", () => {
  const ways = (from: VmState) =>
    vmState.options.filter((to) => {
      try {
        assertTransition(from, to);
        return true;
      } catch {
        return false;
      }
    });
  expect(ways("paused")).toEqual(["stopped", "running", "stopping"]);
  expect(ways("suspending")).toEqual(["stopped", "running", "suspended", "stopping"]);
  expect(ways("suspended")).toEqual(["stopped", "waking", "removing"]);
  expect(ways("waking")).toEqual(["stopped", "running", "suspended", "stopping"]);
  expect(vmState.options.filter((from) => ways(from).includes("suspended"))).toEqual([
    "suspending",
    "waking",
  ]);
});

test("requireState() says the state and what to do", () => {
  const vm = { name: "one", state: "running" as const };
  expect(() => requireState(vm, "start", ["stopped"])).toThrow(
    'Cannot start machine "one": it is running',
  );
  const hint = (state: VmState, verb: string) => {
    try {
      return requireState({ name: "one", state }, verb, []);
    } catch (error) {
      return error instanceof BangerError ? error.hint : String(error);
    }
  };
  expect(hint("stopped", "look into")).toBe("Start it with: banger vm start one");
  expect(hint("paused", "run a command in")).toBe("Resume it with: banger vm resume one");
  expect(hint("suspended", "clone")).toBe("Stop it with: banger vm stop one");
  expect(hint("running", "clone")).toBe("Stop it with: banger vm stop one");
  // Not away from what was wanted.
  expect(hint("running", "start")).toBeUndefined();
  expect(hint("stopped", "kill")).toBeUndefined();
});

test("makeName() gives a name that nobody has, also when all plain ones are taken", () => {
  expect(makeName(() => false)).toMatch(/^[a-z]+-[a-z]+$/);
  expect(makeName((name) => name.split("-").length === 2)).toMatch(/^[a-z]+-[a-z]+-\d+$/);
});

test("a machine whose record cannot be read is one error, and the others are found", () => {
  insertVm(store.db, newVm("abcd1111", "one"));
  insertVm(store.db, newVm("abcd2222", "two"));
  store.db.run("UPDATE vms SET spec = json_remove(spec, '$.mac') WHERE name = 'one'");
  expect(listVms(store.db).map(({ name }) => name)).toEqual(["two"]);
  expect(unreadableVms(store.db)).toMatchObject([{ id: "abcd1111", name: "one" }]);
  expect([...vmIds(store.db)]).toEqual(["abcd1111", "abcd2222"]);
  store.db.run(
    "UPDATE vms SET spec = json_insert(spec, '$.address', '10.241.0.9') WHERE name = 'one'",
  );
  expect(reservedAddresses(store.db)).toEqual([parseAddress("10.241.0.9")]);
  expect(() => getVm(store.db, "one")).toThrow('Cannot read the record of machine "one": spec.mac');
  expect(findUnreadableVm(store.db, "one")).toMatchObject({ id: "abcd1111", isStopped: true });
  expect(findUnreadableVm(store.db, "two")).toBeUndefined();
  store.db.run("UPDATE vms SET state = 'running' WHERE name = 'one'");
  expect(findUnreadableVm(store.db, "abcd1111")).toMatchObject({ name: "one", isStopped: false });
});
