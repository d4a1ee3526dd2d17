/**
 * Restricts where a server may redirect requests (SSRF protection): a redirect, a token server or an upload location
 * must be public, or at the registry's own address.
 */
import { lookup } from "node:dns/promises";
import { BlockList, isIP } from "node:net";
import { METADATA_BLOCKS } from "#base/address-blocks.ts";
import { NO_SUCH_HOST, TransferError, unreachable } from "./failure.ts";
import { proxyFor } from "./proxy.ts";

export type Reach = "loopback" | "link-local" | "private" | "public";

const networks: Record<Exclude<Reach, "public">, readonly string[]> = {
  loopback: ["127.0.0.0/8", "0.0.0.0/8", "::1/128", "::/128"],
  // With multicast and broadcast, which no server has, and all that clouds tell a computer about itself.
  "link-local": [...METADATA_BLOCKS, "224.0.0.0/3", "fe80::/10", "ff00::/8"],
  private: [
    ...["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "198.18.0.0/15"],
    ...["192.0.0.0/24", "fc00::/7", "fec0::/10"],
    // Addresses of IPv4 in disguise: what is behind them depends on the network.
    ...["2002::/16", "64:ff9b::/96", "64:ff9b:1::/48", "2001::/32", "::ffff:0:0:0/96"],
  ],
};
const lists = Object.entries(networks).map(([reach, subnets]) => {
  const list = new BlockList();
  for (const subnet of subnets) {
    const [base = "", bits] = subnet.split("/");
    list.addSubnet(base, Number(bits), base.includes(":") ? "ipv6" : "ipv4");
  }
  return { reach: reach as Reach, list };
});

/** Of an address of IPv4 or IPv6. */
export function reachOf(address: string): Reach {
  const plain = embeddedIpv4(address) ?? address;
  const family = isIP(plain) === 6 ? "ipv6" : "ipv4";
  return lists.find(({ list }) => list.check(plain, family))?.reach ?? "public";
}

export interface ReachOptions {
  /** The server that was meant in the first place. */
  home: URL;
  /** "HOST:PORT" of servers that the user named and that may be asked wherever they are. */
  trusted?: readonly string[] | undefined;
  /** Looks the host of a URL up. Default: addressesOf(). */
  resolve?: ((url: URL) => Promise<string[]>) | undefined;
}

/**
 * Throws `unavailable` unless `target` may be asked on the word of `home`. Gives the address to connect to,
 * when the name could mean another one the next time that it is looked up and nothing else would notice.
 */
export async function checkReach(target: URL, options: ReachOptions): Promise<string | undefined> {
  const { home, trusted = [], resolve = addressesOf } = options;
  if (target.hostname === home.hostname || isListed(target, trusted)) return undefined;
  const addresses = await resolve(target);
  const allowed = await allowedFor(addresses, { home, resolve });
  if (!allowed) {
    throw new TransferError(
      "unavailable",
      `Cannot reach "${home.host}": it resolves or redirects to "${target.host}", which is on this host or in a private network`,
      { hint: "If this is intended, add that server to registry.insecure or use it directly" },
    );
  }
  const [first] = addresses;
  // With TLS, the certificate is for the name.
  return target.protocol !== "https:" && !isAddress(target) ? first : undefined;
}

async function allowedFor(
  addresses: readonly string[],
  { home, resolve }: { home: URL; resolve: (url: URL) => Promise<string[]> },
): Promise<boolean> {
  const reaches = new Set(addresses.map(reachOf));
  reaches.delete("public");
  if (reaches.size === 0) return true;
  const own = new Set((await resolve(home)).map(reachOf));
  // By now its owner may have given the name another address, one that the answer did not come from.
  if (!isAddress(home) && !isLocalhost(home)) {
    own.delete("loopback");
    own.delete("link-local");
  }
  // What this host serves may well lead into its network.
  if (own.has("loopback")) own.add("private");
  return [...reaches].every((reach) => own.has(reach));
}

/**
 * None when a proxy looks the name up. A name without an address is `unavailable`: whoever connects by it would look
 * it up again, and nothing is known of what they find.
 */
export async function addressesOf(url: URL): Promise<string[]> {
  const host = url.hostname.replace(/^\[|\]$/g, "");
  if (isAddress(url)) return [host];
  // git's own protocol goes to no proxy.
  if (url.protocol !== "git:" && proxyFor(url)) return [];
  try {
    return (await lookup(host, { all: true })).map(({ address }) => address);
  } catch (cause) {
    throw unreachable(`"${url.host}"`, NO_SUCH_HOST, cause);
  }
}

export function isAddress(url: URL): boolean {
  return isIP(url.hostname.replace(/^\[|\]$/g, "")) !== 0;
}

/** As people write it; what other names mean is for others to say. */
export function isLocalhost({ hostname }: URL): boolean {
  return /^(.+\.)?localhost$/.test(hostname);
}

export function isListed(url: URL, hosts: readonly string[]): boolean {
  return hosts.some((host) => host.toLowerCase() === url.host);
}

/** Of "::ffff:10.0.0.1", in any spelling. */
function embeddedIpv4(address: string): string | undefined {
  if (isIP(address) !== 6) return undefined;
  const name = new URL(`http://[${address.replace(/%.*$/, "")}]/`).hostname;
  const match = /^\[::(?:ffff:)?([0-9a-f]{1,4}):([0-9a-f]{1,4})\]$/.exec(name);
  if (!match) return undefined;
  const [high, low] = [match[1], match[2]].map((part) => Number.parseInt(part ?? "", 16));
  return [high, low].flatMap((part = 0) => [part >> 8, part & 0xff]).join(".");
}
