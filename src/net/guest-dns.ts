/** Chooses the DNS servers of a machine: the daemon's own if it answers, else the host's. */
import { type Address, addressOf } from "./address.ts";
import type { BridgeMark } from "./devices.ts";
import type { GuestDns } from "./dns/server.ts";
import { hostResolvers } from "./resolvers.ts";

export interface GuestResolvers {
  dns: Address[];
  /** Whether they are the daemon's own, which know the machines' names and policies. */
  isOwn: boolean;
  warnings: string[];
}

/** The bridge has to be there: the server listens on its address. */
export async function guestResolvers(
  server: GuestDns | undefined,
  { gateway, subnet6, dnsPort }: BridgeMark,
): Promise<GuestResolvers> {
  if (await server?.serve(gateway, { port: dnsPort, subnet6 })) {
    return { dns: [addressOf(gateway)], isOwn: true, warnings: [] };
  }
  const { servers, warning } = hostResolvers();
  const warnings = warning ? [warning] : [];
  if (server) {
    const at = `${addressOf(gateway)}:${dnsPort ?? 53}`;
    warnings.push(`Names of machines do not resolve in this machine: ${at} is in use`);
  }
  return { dns: servers, isOwn: false, warnings };
}
