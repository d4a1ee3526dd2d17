/**
 * IPv6 addresses of machines, derived from their IPv4 addresses so that one pool serves both: a bridge has a prefix
 * of its own, and a machine's IPv4 address is the suffix.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { hexOf, sha256 } from "#base/digest.ts";
import { BangerError, errnoOf } from "#base/error.ts";
import {
  type Address,
  addressFrom,
  type Cidr,
  familyOf,
  networkOf,
  numberOf,
  parseCidr,
  prefixOf,
  rangeOf,
} from "./address.ts";
import { parseDefaultDevice6 } from "./devices.ts";
import { checkMac } from "./names.ts";

const SETTINGS = "/proc/sys/net/ipv6/conf";
const ROUTES = "/proc/net/ipv6_route";
const MACHINE_ID = "/etc/machine-id";
const PREFIX = 64;
/** RFC 8200, section 5. */
const MIN_MTU = 1280;

/** The host's on every bridge: what has to reach a machine from afar needs one to ask it from. */
export const LINK_LOCAL_GATEWAY = "fe80::1";

/**
 * The block of a bridge: the one of the setting "network.subnet6", or for "auto" a private one (RFC
 * 4193) that is stable on this host and unlikely on another. Undefined for "off".
 */
export function chooseSubnet6(setting: string, bridge: string): Cidr | undefined {
  if (setting === "off") return undefined;
  if (setting === "auto") {
    const digits = hexOf(sha256(`banger ${readText(MACHINE_ID).trim()} ${bridge}`));
    const [a, b, c] = [digits.slice(0, 2), digits.slice(2, 6), digits.slice(6, 10)];
    return parseCidr(`fd${a}:${b}:${c}::/${PREFIX}`);
  }
  const subnet = parseCidr(setting);
  if (familyOf(subnet) === 6 && prefixOf(subnet) === PREFIX) return networkOf(subnet);
  throw new BangerError("invalid_argument", `invalid IPv6 subnet "${setting}"`, {
    hint: `Set network.subnet6 to "auto", "off", or a block such as "fd12:3456:789a::/${PREFIX}"`,
  });
}

/** "10.241.0.2" in "fd12:3456:789a::/64" is "fd12:3456:789a::af1:2". */
export function address6Of(subnet6: Cidr, address: Address): Address {
  return addressFrom(6, rangeOf(subnet6).first + numberOf(address));
}

/** The address that an interface gives itself (RFC 4291, appendix A). */
export function linkLocalOf(mac: string): Address {
  const bytes = checkMac(mac)
    .split(":")
    .map((digits) => Number.parseInt(digits, 16));
  const [a = 0, b = 0, c = 0, ...rest] = bytes;
  const suffix = [a ^ 2, b, c, 0xff, 0xfe, ...rest];
  return addressFrom(
    6,
    suffix.reduce((value, byte) => (value << 8n) | BigInt(byte), 0n) + (0xfe80n << 112n),
  );
}

/** Whether the host enables IPv6 on new devices. */
export function hasIpv6(): boolean {
  return ["all", "default"].every((name) => readText(`${SETTINGS}/${name}/disable_ipv6`) === "0");
}

/** Whether a device with this MTU has to do with IPv6 at all: the kernel may be without, or started so. */
export function canHaveIpv6(mtu: number): boolean {
  return mtu >= MIN_MTU && existsSync(SETTINGS);
}

/** Whether a default route for IPv6 leads anywhere. */
export function hasUplink6(routes: string = readText(ROUTES)): boolean {
  return parseDefaultDevice6(routes) !== undefined;
}

export function isForwarding6(): boolean {
  return readText(`${SETTINGS}/all/forwarding`) === "1";
}

/**
 * Lets the kernel route IPv6, without what comes with it: a computer that routes no longer learns
 * its own addresses and routes from its router, unless each device is told to go on.
 */
export function enableForwarding6(): void {
  if (isForwarding6()) return;
  try {
    for (const name of readdirSync(SETTINGS)) {
      const path = `${SETTINGS}/${name}/accept_ra`;
      if (name !== "all" && readText(path) === "1") writeFileSync(path, "2\n");
    }
    writeFileSync(`${SETTINGS}/all/forwarding`, "1\n");
  } catch (error) {
    throw new BangerError(
      "permission_denied",
      "Cannot enable IPv6 NAT: IPv6 forwarding is off (net.ipv6.conf.all.forwarding is 0)",
      {
        hint: 'Set network.subnet6 to "off" in the configuration, or run: banger doctor',
        cause: error,
      },
    );
  }
}

/**
 * Keeps the host from taking anything for its own configuration that comes from this bridge: a
 * hostile router advertisement would otherwise give it a default route through a guest.
 */
export function hardenBridge6(bridge: string): void {
  for (const name of ["accept_ra", "autoconf", "accept_redirects"]) {
    writeSetting(`${SETTINGS}/${bridge}/${name}`, "0");
  }
}

/** For devices that only carry frames. */
export function disableIpv6(device: string): void {
  writeSetting(`${SETTINGS}/${device}/disable_ipv6`, "1");
}

function writeSetting(path: string, value: string): void {
  try {
    writeFileSync(path, `${value}\n`);
  } catch (error) {
    // A kernel without IPv6 has nothing to set.
    if (errnoOf(error) !== "ENOENT") throw error;
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8").trim();
  } catch (error) {
    if (errnoOf(error) !== undefined) return "";
    throw error;
  }
}
