/** The bridge that connects the machines of one daemon: its owner and its settings. */
import { BangerError } from "#base/error.ts";
import { assertTableIsOurs } from "#net/nft/nft.ts";
import { type Cidr, joinCidr, networkOf, prefixOf } from "./address.ts";
import {
  type BridgeMark,
  type Device,
  parseBridgeAlias,
  portsOf,
  readDevice,
  uplinkMtu,
} from "./devices.ts";
import { canHaveIpv6, hasIpv6 } from "./ipv6.ts";
import { bridgeCommands, removeCommand } from "./link.ts";
import { tableName } from "./names.ts";
import { gatewayOf } from "./pool.ts";
import { tapObstacle } from "./rights.ts";
import { findOverlap, overlapError, readRoutes } from "./routes.ts";

/** The device if banger created it, else undefined. */
export function ownBridge(bridge: string): Device | undefined {
  const device = readDevice(bridge);
  return device?.isBridge && parseBridgeAlias(device.alias) ? device : undefined;
}

/** What our bridge says of itself. */
export function readBridgeMark(bridge: string): BridgeMark | undefined {
  return parseBridgeAlias(ownBridge(bridge)?.alias ?? "");
}

/** `conflict` when there is a device of this name that banger did not make. */
export function assertBridgeIsOurs(bridge: string): void {
  if (!readDevice(bridge) || ownBridge(bridge)) return;
  throw new BangerError(
    "conflict",
    `Cannot use bridge "${bridge}": the interface exists and was not created by banger`,
    {
      hint: `Set network.bridge to a different name, or delete the interface if it is unused: sudo ip link del ${bridge}`,
    },
  );
}

/** The host's address on a bridge for this subnet, with its prefix. */
export function gatewayCidr(subnet: Cidr): Cidr {
  return joinCidr(gatewayOf(subnet), prefixOf(subnet));
}

/** What our bridge says of itself, or will once it is made. */
export function bridgeMark({ bridge, subnet, subnet6 }: BridgeNeed): BridgeMark {
  return readBridgeMark(bridge) ?? { gateway: gatewayCidr(subnet), subnet6 };
}

export interface BridgeNeed {
  bridge: string;
  subnet: Cidr;
  /** Undefined for IPv4 only. */
  subnet6: Cidr | undefined;
  dnsPort?: number | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * The `ip` commands after which the bridge is there; none where it is already. `conflict` when
 * it, its table or its subnet is somebody else's, or when machines use it with another subnet.
 */
export async function bridgeSteps(need: BridgeNeed): Promise<string[]> {
  const { bridge, subnet, dnsPort, signal } = need;
  // On a wire with a smaller MTU the kernel has no IPv6.
  const subnet6 = hasIpv6() && canHaveIpv6(uplinkMtu()) ? need.subnet6 : undefined;
  const gateway = gatewayCidr(subnet);
  assertBridgeIsOurs(bridge);
  const current = readBridgeMark(bridge);
  const hasPorts = portsOf(bridge).length > 0;
  // Machines that run keep the IPv6 block that they have, or have none.
  if (current?.gateway === gateway && (hasPorts || current.subnet6 === subnet6)) return [];
  if (current && hasPorts) {
    throw new BangerError(
      "conflict",
      `Cannot use bridge "${bridge}" with subnet "${subnet}": machines on it use "${networkOf(current.gateway)}"`,
      { hint: "Stop those machines, or set network.subnet and network.bridge to different values" },
    );
  }
  // Without root, as in a dry run, the rules cannot be read.
  const isTableChecked = tapObstacle() ? undefined : assertTableIsOurs(tableName(bridge));
  const [routes] = await Promise.all([readRoutes(signal), isTableChecked]);
  for (const block of [subnet, ...(subnet6 ? [subnet6] : [])]) {
    const overlap = findOverlap(block, { bridge, routes });
    if (overlap) throw overlapError(block, overlap);
  }
  const made = bridgeCommands({ bridge, gateway, subnet6, dnsPort, mtu: uplinkMtu() });
  return [...(current ? [removeCommand(bridge)] : []), ...made];
}
