/** Names of machines for the DNS server, straight from the store. */
import type { Database } from "bun:sqlite";
import type { Address } from "#net/address.ts";
import type { Names } from "#net/dns/zone.ts";
import { findVm, listVms, machineAddress, machineAddress6, type VmRecord } from "#vm/records.ts";

/** The host sees all machines; a machine sees itself, and those that it can reach. */
export function machineNames(db: Database): Names {
  return {
    addressesOf(name, client) {
      const vm = findVm(db, name);
      if (!vm || vm.name !== name) return undefined;
      if (!isVisible(db, vm, client)) return undefined;
      return addressesOf(vm);
    },
    nameOf(address: Address, client) {
      const vm = machineAt(db, address);
      return vm && isVisible(db, vm, client) ? vm.name : undefined;
    },
  };
}

/** Whether the two share a network. */
function isVisible(db: Database, vm: VmRecord, client: Address | undefined): boolean {
  if (client === undefined || client === machineAddress(vm)) return true;
  const shared = vm.spec.networks ?? [];
  if (shared.length === 0) return false;
  return machineAt(db, client)?.spec.networks?.some((name) => shared.includes(name)) ?? false;
}

function machineAt(db: Database, address: Address): VmRecord | undefined {
  return listVms(db).find((vm) => addressesOf(vm).includes(address));
}

function addressesOf(vm: VmRecord): Address[] {
  return [machineAddress(vm), machineAddress6(vm)].filter((address) => address !== undefined);
}
