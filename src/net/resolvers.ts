/** The DNS servers that a guest can use: those of the host that are not on loopback. */
import { closeSync, openSync, readSync } from "node:fs";
import { KiB } from "#base/size.ts";
import { type Address, contains, familyOf, parseCidr, tryParseAddress } from "./address.ts";

const MAX_RESOLV_CONF_BYTES = 64 * KiB;
/** As many as the C library looks at (MAXNS in resolv.h). */
const MAX_RESOLVERS = 3;

const loopback = parseCidr("127.0.0.0/8");
const unspecified = parseCidr("0.0.0.0/8");

export interface Resolvers {
  servers: Address[];
  /** Set when there is no server: the guest runs, but resolves no names. */
  warning?: string;
}

/** The second file is asked where the first names only a resolver on the host's own loopback. */
const RESOLV_CONF_PATHS = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];

/** Tries `paths` in order until one names a server that a guest can reach over IPv4. */
export function hostResolvers(paths: readonly string[] = RESOLV_CONF_PATHS): Resolvers {
  for (const path of paths) {
    const servers = parseResolvConf(readCapped(path)).filter(isReachable).slice(0, MAX_RESOLVERS);
    if (servers.length > 0) return { servers };
  }
  return {
    servers: [],
    warning: `no DNS server for machines: ${paths[0]} has no nameserver that is reachable over IPv4; add one`,
  };
}

/**
 * The servers that programs of the host ask, also those on its own loopback and over IPv6, but
 * not `own`, which would ask itself.
 */
export function daemonResolvers(
  own: (address: Address) => boolean = () => false,
  path = "/etc/resolv.conf",
): { address: Address; port: number }[] {
  const servers = parseResolvConf(readCapped(path)).filter((address) => !own(address));
  return servers.slice(0, MAX_RESOLVERS).map((address) => ({ address, port: 53 }));
}

/** The `nameserver` lines that hold an address; zones and comments are left out. */
export function parseResolvConf(text: string): Address[] {
  return text.split("\n").flatMap((line) => {
    const [keyword, value = ""] = line.trim().split(/\s+/);
    return keyword === "nameserver" ? (tryParseAddress(value) ?? []) : [];
  });
}

function isReachable(address: Address): boolean {
  return familyOf(address) === 4 && !contains(loopback, address) && !contains(unspecified, address);
}

function readCapped(path: string): string {
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch {
    return "";
  }
  try {
    const buffer = Buffer.alloc(MAX_RESOLV_CONF_BYTES);
    return buffer.toString("utf8", 0, readSync(fd, buffer, 0, buffer.length, 0));
  } finally {
    closeSync(fd);
  }
}
