/** Attaches a machine without root, with a tap that `banger setup` created for its user. */
import { BangerError } from "#base/error.ts";
import { addressOf, joinCidr, prefixOf, tryParseAddress } from "./address.ts";
import { attach6 } from "./attach6.ts";
import type { AttachRequest, TapAttachment } from "./attachment.ts";
import { hasBandwidth } from "./bandwidth/bandwidth.ts";
import { readBridgeMark } from "./bridge.ts";
import { deviceMtu, uplinkMtu } from "./devices.ts";
import type { GuestDns } from "./dns/server.ts";
import { guestResolvers } from "./guest-dns.ts";
import { enableForwarding } from "./link.ts";
import { leaseTap, type PoolOwner, releaseTap } from "./tap-leases.ts";

/** Changes nothing on the host except the lease, which is released on failure. */
export async function attachPoolTap(
  request: AttachRequest & { mode: "nat" | "host" },
  { owner, dns }: { owner: PoolOwner; dns: GuestDns | undefined },
): Promise<TapAttachment> {
  const { machineId, mode } = request;
  if (request.policy) throw takesRoot("set a policy on the machine");
  if (request.networks?.length)
    throw takesRoot(`connect the machine to "${request.networks.join('", "')}"`);
  if (hasBandwidth(request.bandwidth)) throw takesRoot("limit the machine's network bandwidth");
  const mark = readBridgeMark(owner.bridge);
  if (!mark) {
    throw new BangerError(
      "invalid_state",
      `Cannot use the tap devices of bridge "${owner.bridge}": no such interface`,
      {
        hint: "Restore it with: sudo banger setup",
      },
    );
  }
  const address = tryParseAddress(request.address ?? "");
  const tap = leaseTap({ ...owner, machineId, mode, address });
  try {
    if (mode === "nat") enableForwarding();
    const six = attach6(mark, { address: tap.address, mode });
    const resolvers = await guestResolvers(dns, mark);
    return {
      mode,
      tap: tap.tap,
      mac: tap.mac,
      address: joinCidr(tap.address, prefixOf(mark.gateway)),
      gateway: addressOf(mark.gateway),
      ...six,
      dns: resolvers.dns,
      mtu: Math.min(uplinkMtu(), deviceMtu(tap.tap)),
      warnings: [...six.warnings, ...resolvers.warnings],
    };
  } catch (error) {
    releaseTap({ ...owner, machineId });
    throw error;
  }
}

function takesRoot(what: string): BangerError {
  return new BangerError(
    "permission_denied",
    `Cannot ${what}: changing the host's network requires root or CAP_NET_ADMIN`,
    { hint: "Run the daemon as root, or create the machine without this option" },
  );
}
