/** The machines' names as the DNS server sees them, straight from the store. */
import type { Database } from "bun:sqlite";
import type { Address } from "#net/address.ts";
import type { Names } from "#net/dns/zone.ts";
import { findVm, listVms, machineAddress } from "./records.ts";

/** The host sees all machines; a machine, which cannot reach the others, sees itself alone. */
export function machineNames(db: Database): Names {
  return {
    addressesOf(name, client) {
      const vm = findVm(db, name);
      if (!vm || vm.name !== name) return undefined;
      const address = machineAddress(vm);
      const isVisible = client === undefined || client === address;
      if (!isVisible) return undefined;
      return address ? [address] : [];
    },
    nameOf(address: Address, client) {
      if (client !== undefined && client !== address) return undefined;
      return listVms(db).find((vm) => machineAddress(vm) === address)?.name;
    },
  };
}
