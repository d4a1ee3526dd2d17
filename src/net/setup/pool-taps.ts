/** The taps of a pool, and the commands that reconcile them with the configuration. */
import { hexOf, sha256 } from "#base/digest.ts";
import { BangerError } from "#base/error.ts";
import { type Address, addressFrom, type Cidr, rangeOf } from "#net/address.ts";
import { machineTaps, type PoolTap, poolAlias, poolTaps, uplinkMtu } from "#net/devices.ts";
import { removeCommand, tapCommands } from "#net/link.ts";
import { macAddress } from "#net/names.ts";
import { leasedTaps } from "#net/tap-leases.ts";
import type { SetupPlan } from "./record.ts";

/** The digits of a bridge's name that tell its taps from those of another bridge. */
const BRIDGE_DIGITS = 4;

/** Addresses come from the end of the subnet: machines with taps of their own have the beginning. */
export function wantedTaps(plan: SetupPlan, inUse: ReadonlySet<Address>): PoolTap[] {
  const modes = [
    ...Array<"nat">(plan.taps).fill("nat"),
    ...Array<"host">(plan.hostTaps).fill("host"),
  ];
  const addresses = lastAddresses(plan.subnet, { count: modes.length, inUse });
  const digits = hexOf(sha256(plan.bridge)).slice(0, BRIDGE_DIGITS);
  return addresses.map((address, index) => ({
    tap: `bgr-${digits}-${index}`,
    mode: modes[index] ?? "nat",
    address,
    mac: macAddress(`${plan.bridge} ${address}`),
    networks: [],
    user_uid: plan.user_uid,
  }));
}

export interface PoolChange {
  commands: string[];
  /** What the commands make, to be unmade when one of them fails. */
  made: string[];
  taps: PoolTap[];
}

/** Taps that are right already stay. `conflict` when one that has to go carries a machine. */
export function poolChange(plan: SetupPlan): PoolChange {
  const { bridge } = plan;
  const inUse = new Set(machineTaps(bridge).map(({ address }) => address));
  const taps = wantedTaps(plan, inUse);
  const present = poolTaps(bridge);
  const isRight = (tap: PoolTap): boolean =>
    taps.some((each) => each.tap === tap.tap && poolAlias(each) === poolAlias(tap));
  const wrong = present.filter((tap) => !isRight(tap));
  assertFree(plan, wrong);
  const missing = taps.filter(
    ({ tap }) => !present.some((each) => each.tap === tap && isRight(each)),
  );
  const mtu = uplinkMtu();
  const made = missing.flatMap((tap) =>
    tapCommands({
      tap: tap.tap,
      alias: poolAlias(tap),
      bridge,
      isIsolated: true,
      mtu,
      user_uid: tap.user_uid,
    }),
  );
  return {
    commands: [...wrong.map(({ tap }) => removeCommand(tap)), ...made],
    made: missing.map(({ tap }) => tap),
    taps,
  };
}

/** `conflict` when one of the taps carries a machine. */
export function assertFree(plan: SetupPlan, taps: readonly PoolTap[]): void {
  const leased = leasedTaps(plan).find(({ tap }) => taps.some((each) => each.tap === tap));
  if (!leased) return;
  throw new BangerError(
    "conflict",
    `Cannot remove tap device "${leased.tap}": in use by a machine of user ${plan.user_uid}`,
    { hint: "Stop that user's machines first: banger vm stop" },
  );
}

function lastAddresses(
  subnet: Cidr,
  { count, inUse }: { count: number; inUse: ReadonlySet<Address> },
): Address[] {
  const { first, last } = rangeOf(subnet);
  const found: Address[] = [];
  // The first is the network's and the second the host's; the last one is for broadcasts.
  for (let value = last - 1n; value > first + 1n && found.length < count; value--) {
    const address = addressFrom(4, value);
    if (!inUse.has(address)) found.push(address);
  }
  if (found.length === count) return found;
  throw new BangerError(
    "limit_exceeded",
    `Cannot create ${count} tap devices: subnet "${subnet}" has only ${found.length} addresses`,
    { hint: "Use fewer taps, or set network.subnet to a larger block" },
  );
}
