import { BangerError } from "#base/error.ts";
import {
  type Address,
  addressFrom,
  type Cidr,
  contains,
  familyOf,
  hosts,
  networkOf,
  numberOf,
  prefixOf,
  rangeOf,
} from "./address.ts";

const PREFIX_MIN = 8;
const PREFIX_MAX = 30;

/** The block that machines get their addresses from; `invalid_argument` when it cannot serve as one. */
export function checkSubnet(cidr: Cidr): Cidr {
  const prefix = prefixOf(cidr);
  if (familyOf(cidr) === 4 && prefix >= PREFIX_MIN && prefix <= PREFIX_MAX) return networkOf(cidr);
  throw new BangerError("invalid_argument", `invalid subnet "${cidr}"`, {
    hint: `Set network.subnet to an IPv4 block between /${PREFIX_MIN} and /${PREFIX_MAX}, such as "10.0.0.0/24"`,
  });
}

/** The first address of the subnet, which is the host's. */
export function gatewayOf(subnet: Cidr): Address {
  return addressFrom(familyOf(subnet), rangeOf(subnet).first + 1n);
}

export interface AllocateOptions {
  inUse: ReadonlySet<Address>;
}

/** The lowest free address above the gateway; `limit_exceeded` when there is none. */
export function allocateAddress(subnet: Cidr, options: AllocateOptions): Address {
  const gateway = gatewayOf(subnet);
  for (const address of hosts(subnet)) {
    if (address !== gateway && !options.inUse.has(address)) return address;
  }
  throw new BangerError("limit_exceeded", `no free addresses in subnet "${subnet}"`, {
    hint: "Remove unused machines, or set network.subnet to a larger block",
  });
}

/** `invalid_state` when a machine cannot have this address: outside of the subnet, or not a host's. */
export function checkMachineAddress(subnet: Cidr, address: Address): void {
  const { first, last } = rangeOf(subnet);
  const value = numberOf(address);
  const isHost = value > first + 1n && value < last;
  if (contains(subnet, address) && isHost) return;
  throw new BangerError(
    "invalid_state",
    `Cannot connect the machine: its address "${address}" is not in subnet "${subnet}"`,
    { hint: "Restore the previous network.subnet, or recreate the machine" },
  );
}
