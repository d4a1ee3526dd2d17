import { expect, test } from "bun:test";
import { parseAddress } from "#net/address.ts";
import { vmStore } from "#test/vm-store.ts";
import { getVm, insertVm, updateVm } from "#vm/records.ts";
import {
  createNetwork,
  getNetwork,
  listNetworks,
  removeNetwork,
  requireNetworks,
} from "./networks.ts";
import { machineNames } from "./resolve-names.ts";

const store = vmStore();

function addMachine(name: string, address: string, networks: string[] = []): void {
  insertVm(store.db, {
    id: `${name}-id000000`,
    name,
    imageId: "img1",
    kernel: "debian-6.12",
    spec: {
      mode: "direct",
      cpus: 1,
      memory_mib: 128,
      disk_bytes: 1 << 30,
      network: "nat",
      address,
      mac: "02:00:00:00:00:01",
      machineId: "0".repeat(32),
      env: {},
      ...(networks.length > 0 ? { networks } : {}),
    },
  });
}

test("a network has a name of its own, and goes when nobody is on it", () => {
  expect(createNetwork(store.db, "back")).toMatchObject({ name: "back", machines: [] });
  expect(() => createNetwork(store.db, "back")).toThrow("it exists already");
  expect(() => createNetwork(store.db, "Back end")).toThrow('invalid network name "Back end"');
  addMachine("db", "10.0.0.2", ["back"]);
  expect(listNetworks(store.db)).toMatchObject([{ name: "back", machines: ["db"] }]);
  expect(() => removeNetwork(store.db, "back")).toThrow(
    'Cannot remove network "back": in use by db',
  );
  const vm = getVm(store.db, "db");
  const { networks: _, ...spec } = vm.spec;
  updateVm(store.db, vm, { spec });
  removeNetwork(store.db, "back");
  expect(listNetworks(store.db)).toEqual([]);
  expect(() => getNetwork(store.db, "back")).toThrow("no such network");
  expect(() => getNetwork(store.db, "host")).toThrow(
    expect.objectContaining({ hint: '"host" is a network mode, use: --net host' }),
  );
});

test("a machine goes on networks that are there, in a mode with a tap", () => {
  for (const name of ["a", "b", "c", "d", "e"]) createNetwork(store.db, name);
  expect(requireNetworks(store.db, { names: ["b", "a", "b"], mode: "nat" })).toEqual(["a", "b"]);
  expect(requireNetworks(store.db, { names: [], mode: "none" })).toEqual([]);
  expect(() => requireNetworks(store.db, { names: ["none"], mode: "nat" })).toThrow(
    "no such network",
  );
  expect(() => requireNetworks(store.db, { names: ["a"], mode: "user" })).toThrow("--net user");
  const many = ["a", "b", "c", "d", "e"];
  expect(() => requireNetworks(store.db, { names: many, mode: "nat" })).toThrow("at most 4");
});

test("a machine learns the names that it can reach, the host all of them", () => {
  for (const name of ["back", "front"]) createNetwork(store.db, name);
  addMachine("web", "10.0.0.2", ["front", "back"]);
  addMachine("db", "10.0.0.3", ["back"]);
  addMachine("alone", "10.0.0.4");
  const names = machineNames(store.db);
  const [web, dbAddress, alone] = ["10.0.0.2", "10.0.0.3", "10.0.0.4"].map(parseAddress);
  expect(names.addressesOf("db", web)).toEqual([parseAddress("10.0.0.3")]);
  expect(names.addressesOf("web", dbAddress)).toEqual([parseAddress("10.0.0.2")]);
  expect(names.addressesOf("web", alone)).toBeUndefined();
  expect(names.addressesOf("alone", alone)).toEqual([parseAddress("10.0.0.4")]);
  expect(names.addressesOf("alone", undefined)).toEqual([parseAddress("10.0.0.4")]);
  expect(names.addressesOf("nobody", undefined)).toBeUndefined();
  expect(names.nameOf(parseAddress("10.0.0.3"), web)).toBe("db");
  expect(names.nameOf(parseAddress("10.0.0.3"), alone)).toBeUndefined();
});

test("the address that a tap came with counts, not the one that was meant", () => {
  addMachine("web", "10.0.0.2");
  const vm = getVm(store.db, "web");
  updateVm(store.db, vm, { runtime: { hostBootId: "b", address: "10.0.0.9" } });
  const names = machineNames(store.db);
  expect(names.addressesOf("web", undefined)).toEqual([parseAddress("10.0.0.9")]);
  expect(names.nameOf(parseAddress("10.0.0.9"), undefined)).toBe("web");
});
