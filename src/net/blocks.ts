/** Blocks of addresses that are not just any: what may not be reached unless somebody says so. */
import { type Address, type Cidr, contains, parseCidr } from "./address.ts";

/**
 * Where clouds tell a computer its own secrets, and whatever else answers on one wire only. Closed for
 * machines unless a policy opens it, but for DNS: on some clouds it is the only resolver. (What is
 * link-local in IPv6 is never routed.)
 */
export const METADATA_BLOCKS: readonly Cidr[] = [
  // All of link-local: AWS, Google, Azure, OpenStack, DigitalOcean, Hetzner and Kubernetes have theirs here.
  "169.254.0.0/16",
  // Azure's host agent, Alibaba, Oracle.
  ...["168.63.129.16/32", "100.100.100.200/32", "192.0.0.192/32"],
  // AWS and Google over IPv6.
  ...["fd00:ec2::/32", "fd20:ce::/32"],
].map(parseCidr);

/** A name can lead anywhere its owner likes: never to the host, its neighbours, or inside a private network. */
const NEVER_BY_NAME: readonly Cidr[] = [
  ...METADATA_BLOCKS,
  // Unspecified, loopback, private, shared between carriers' customers, protocols' own.
  ...["0.0.0.0/8", "127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"].map(parseCidr),
  ...["100.64.0.0/10", "192.0.0.0/24", "198.18.0.0/15"].map(parseCidr),
  // The nearest 6to4 relay; multicast, reserved and broadcast.
  ...["192.88.99.0/24", "224.0.0.0/3"].map(parseCidr),
  // Unspecified, loopback and IPv4 in each of its disguises: mapped, NAT64, 6to4, Teredo.
  ...["::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48"].map(parseCidr),
  ...["2001::/32", "2002::/16"].map(parseCidr),
  // Private, link-local, site-local, multicast.
  ...["fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8"].map(parseCidr),
];

/** Whether a DNS answer may open the way to this address. `own`: the host's addresses. */
export function mayBeNamed(address: Address, own: ReadonlySet<Address>): boolean {
  return !own.has(address) && !NEVER_BY_NAME.some((block) => contains(block, address));
}
