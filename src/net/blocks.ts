/** Address blocks that a machine cannot reach unless allowed. */
import { METADATA_BLOCKS as metadata } from "#base/address-blocks.ts";
import { type Address, type Cidr, familyOf, numberOf, parseCidr, rangeOf } from "./address.ts";

/** Closed unless a policy opens them, but for DNS: on some clouds it is the only resolver. */
export const METADATA_BLOCKS: readonly Cidr[] = metadata.map(parseCidr);

/** A name can lead anywhere its owner likes: never to the host, its neighbours, or inside a private network. */
const NEVER_BY_NAME = [
  ...metadata,
  // Unspecified, loopback, private, shared between a carrier's customers.
  ...["0.0.0.0/8", "127.0.0.0/8", "::1/128"],
  ...["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"],
  // Protocols' own, for measurements, the nearest 6to4 relay; multicast, reserved and broadcast.
  ...["192.0.0.0/24", "198.18.0.0/15", "192.88.99.0/24", "224.0.0.0/3"],
  // IPv4 in each of its disguises: compatible, mapped, translated, NAT64, Teredo, 6to4.
  ...["::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48"],
  ...["2001::/32", "2002::/16"],
  // Link-local, site-local, multicast.
  ...["fe80::/10", "fec0::/10", "ff00::/8"],
].map((block) => ({ family: familyOf(parseCidr(block)), ...rangeOf(parseCidr(block)) }));

/** Whether a DNS answer may open the way to this address. `own`: the host's addresses. */
export function mayBeNamed(address: Address, own: ReadonlySet<Address>): boolean {
  if (own.has(address)) return false;
  const [wanted, number] = [familyOf(address), numberOf(address)];
  return !NEVER_BY_NAME.some(
    ({ family, first, last }) => family === wanted && number >= first && number <= last,
  );
}
