/** The network checks of `banger doctor`. */
import type { Check } from "#base/check.ts";
import { BangerError, messageOf } from "#base/error.ts";
import { findBlockingFirewall, hasLegacyIptables } from "#net/nft/firewall.ts";
import { assertTableIsOurs, isTableWhole } from "#net/nft/nft.ts";
import { type Cidr, parseCidr } from "./address.ts";
import { readBridgeMark } from "./bridge.ts";
import { parseBridgeAlias, poolTaps, readDevice } from "./devices.ts";
import { chooseSubnet6, hasIpv6, hasUplink6, isForwarding6 } from "./ipv6.ts";
import { isForwarding } from "./link.ts";
import { tableName } from "./names.ts";
import { checkSubnet } from "./pool.ts";
import { daemonResolvers } from "./resolvers.ts";
import { openObstacle, readRights, tapObstacle } from "./rights.ts";
import { namespaceObstacle } from "./rootless/obstacle.ts";
import { findOverlap, overlapError, readRoutes } from "./routes.ts";
import { hasPoolTap, leasedTaps } from "./tap-leases.ts";

export interface CheckOptions {
  bridge: string;
  subnet: string;
  /** As in `chooseSubnet6`; default "auto". */
  subnet6?: string | undefined;
}

/** Without rights only what can be known without them. */
export async function checks(options: CheckOptions): Promise<Check[]> {
  const rights = readRights();
  const obstacle = tapObstacle(rights);
  const user_uid = process.getuid?.() ?? 0;
  const isNamespaced =
    obstacle !== undefined && user_uid !== 0 && !hasPoolTap({ ...options, user_uid }, "nat");
  const found = [
    isNamespaced ? await namespaceCheck() : tapCheck(obstacle, options.bridge),
    await subnetCheck(options, rights.missing),
    resolverCheck(),
    // A namespace has a switch of its own, which its first machine turns on.
    ...(isNamespaced ? [] : [forwardingCheck(obstacle === undefined)]),
    await ipv6Check(options),
  ];
  if (!obstacle) found.push(await namesCheck(options.bridge), await firewallCheck(options));
  return found;
}

/** What machines of an ordinary user get, for whom nothing was set up. */
async function namespaceCheck(): Promise<Check> {
  const base = { id: "net.tap", title: "Tap devices and NAT" };
  const obstacle = await namespaceObstacle();
  if (!obstacle) {
    const detail = "in a network namespace of this user, connected by pasta";
    return { ...base, status: "ok", detail };
  }
  const detail = `${obstacle.message}; machines get user-mode networking`;
  return { ...base, status: "warn", detail, ...(obstacle.hint ? { fix: obstacle.hint } : {}) };
}

function tapCheck(obstacle: BangerError | undefined, bridge: string): Check {
  const base = { id: "net.tap", title: "Tap devices and NAT" };
  if (!obstacle) return { ...base, status: "ok", detail: "available to root, on this host" };
  const user_uid = process.getuid?.() ?? 0;
  if (hasPoolTap({ bridge, user_uid }, "nat")) {
    const closed = openObstacle();
    const count = poolTaps(bridge).filter((tap) => tap.user_uid === user_uid).length;
    const used = leasedTaps({ bridge, user_uid }).length;
    const detail = `${used} of ${count} tap devices of banger setup in use`;
    if (!closed) return { ...base, status: "ok", detail };
    return { ...base, status: "warn", detail: closed.message, fix: closed.hint ?? "" };
  }
  const detail = `${obstacle.message}; machines get user-mode networking`;
  return { ...base, status: "warn", detail, fix: obstacle.hint };
}

async function subnetCheck(options: CheckOptions, missing: readonly string[]): Promise<Check> {
  const base = { id: "net.subnet", title: "Machines' subnet" };
  return await judged(base, async () => {
    const subnet: Cidr = checkSubnet(parseCidr(options.subnet));
    if (missing.includes("ip")) return `${subnet}, not compared with the routes: ip is missing`;
    const overlap = findOverlap(subnet, { bridge: options.bridge, routes: await readRoutes() });
    if (overlap) throw overlapError(subnet, overlap);
    return `${subnet} is free`;
  });
}

async function namesCheck(bridge: string): Promise<Check> {
  const base = { id: "net.bridge", title: "Bridge and rules" };
  return await judged(base, async () => {
    const table = tableName(bridge);
    await assertTableIsOurs(table);
    const device = readDevice(bridge);
    if (!device) return `"${bridge}" is created with the first machine`;
    if (parseBridgeAlias(device.alias)) {
      if (await isTableWhole(table)) return `"${bridge}" is up`;
      throw new BangerError("invalid_state", `firewall rules for "${bridge}" are missing`, {
        hint: "Restore them, for example after a firewall reload: banger daemon restart",
      });
    }
    throw new BangerError(
      "conflict",
      `interface "${bridge}" exists and was not created by banger`,
      {
        hint: `Set network.bridge to a different name, or delete the interface if it is unused: sudo ip link del ${bridge}`,
      },
    );
  });
}

/** The daemon asks them for the machines, so they may be anywhere that the host itself reaches. */
function resolverCheck(): Check {
  const base = { id: "net.dns", title: "DNS servers for machines" };
  const servers = daemonResolvers().map(({ address }) => address);
  if (servers.length > 0) return { ...base, status: "ok", detail: servers.join(", ") };
  const detail = "none: no nameserver in /etc/resolv.conf";
  return { ...base, status: "warn", detail, fix: "Add a nameserver to /etc/resolv.conf" };
}

function forwardingCheck(hasRights: boolean): Check {
  const base = { id: "net.forwarding", title: "Packet forwarding" };
  if (isForwarding()) return { ...base, status: "ok", detail: "net.ipv4.ip_forward is on" };
  if (hasRights) {
    const detail = "off; enabled with the first NAT machine, and left on";
    return { ...base, status: "ok", detail };
  }
  return {
    ...base,
    status: "warn",
    detail: "net.ipv4.ip_forward is off, NAT needs it",
    fix: "sudo sysctl -w net.ipv4.ip_forward=1",
  };
}

async function ipv6Check({ bridge, subnet6: setting = "auto" }: CheckOptions): Promise<Check> {
  const base = { id: "net.ipv6", title: "IPv6 of machines" };
  return await judged(base, async () => {
    const subnet6 = chooseSubnet6(setting, bridge);
    if (!subnet6) return "disabled; machines have IPv4 only";
    if (!hasIpv6())
      return "disabled on the host (net.ipv6.conf.*.disable_ipv6); machines have IPv4 only";
    const mark = readBridgeMark(bridge);
    if (mark && mark.subnet6 !== subnet6) {
      const now = mark.subnet6 ?? "IPv4 only";
      return `"${bridge}" has ${now}; ${subnet6} from when its last machine stops, or after banger setup --undo`;
    }
    if (!hasUplink6())
      return `${subnet6}, between host and machines only: the host has no IPv6 route`;
    if (isForwarding6()) return `${subnet6}, masqueraded`;
    return `${subnet6}; forwarding is enabled with the first NAT machine, and left on`;
  });
}

async function firewallCheck(options: CheckOptions): Promise<Check> {
  const { bridge, subnet6 = "auto" } = options;
  const base = { id: "net.firewall", title: "Other firewalls" };
  const hasIpv6 = subnet6 !== "off" && hasUplink6();
  const firewall = await findBlockingFirewall({ bridge, table: tableName(bridge), hasIpv6 });
  if (firewall) {
    const who = firewall.name === "unknown" ? "A firewall" : firewall.name;
    const packets = firewall.family === 4 ? "packets" : "IPv6 packets";
    const what = firewall.hook === "forward" ? packets : "DNS questions";
    const detail = `${who} drops ${what} of machines in ${firewall.place}`;
    return { ...base, status: "warn", detail, fix: firewall.fix };
  }
  if (hasLegacyIptables()) {
    const detail = "iptables-legacy rules are in use and cannot be checked";
    return {
      ...base,
      status: "warn",
      detail,
      fix: "List the rules with: sudo iptables-legacy -S FORWARD",
    };
  }
  return { ...base, status: "ok", detail: "no rules that drop packets of machines" };
}

/** `ok` with the text that `work` gives, `warn` with the error that it throws. */
async function judged(
  base: Pick<Check, "id" | "title">,
  work: () => Promise<string>,
): Promise<Check> {
  try {
    return { ...base, status: "ok", detail: await work() };
  } catch (error) {
    const hint = error instanceof BangerError ? error.hint : undefined;
    return { ...base, status: "warn", detail: messageOf(error), fix: hint };
  }
}
