/** A machine's IPv6 attachment: none on a bridge without IPv6, a default route where the host has one. */
import { messageOf } from "#base/error.ts";
import { type Address, addressOf, type Cidr, joinCidr, prefixOf } from "./address.ts";
import type { BridgeMark } from "./devices.ts";
import { address6Of, enableForwarding6, hasUplink6 } from "./ipv6.ts";

export interface Attachment6 {
  address6?: Cidr;
  /** Absent if the host has no default route, so that guests do not wait for timeouts. */
  gateway6?: Address;
  /** IPv6 that does not get out stops no machine. */
  warnings: string[];
}

export function attach6(
  { gateway, subnet6 }: BridgeMark,
  { address, mode }: { address: Address; mode: "nat" | "host" },
): Attachment6 {
  if (!subnet6) return { warnings: [] };
  const address6 = joinCidr(address6Of(subnet6, address), prefixOf(subnet6));
  if (mode === "host" || !hasUplink6()) return { address6, warnings: [] };
  try {
    enableForwarding6();
  } catch (error) {
    return { address6, warnings: [messageOf(error)] };
  }
  return { address6, gateway6: address6Of(subnet6, addressOf(gateway)), warnings: [] };
}
