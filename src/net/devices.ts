/**
 * Network devices, read from /sys and /proc: microseconds where a process takes milliseconds. The alias that banger
 * sets on each device is the only record of what is connected, so a crash leaves nothing to restore.
 */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { basename } from "node:path";
import { errnoOf } from "#base/error.ts";
import { type Address, type Cidr, type Family, parseCidr, tryParseAddress } from "./address.ts";
import { macAddress } from "./names.ts";

const DEVICES = "/sys/class/net";
const DEFAULT_MTU = 1500;
/** The most that a tap takes (linux/drivers/net/tun.c). */
const MAX_TAP_MTU = 65_521;
const RTF_UP = 1;
const RTF_REJECT = 0x200;

export interface Device {
  name: string;
  /** `alias` of `ip link`; empty where there is none. */
  alias: string;
  isBridge: boolean;
  /** Name of the bridge that it is a port of. */
  master: string | undefined;
}

/** A tap that banger made, as its alias tells. */
export interface BangerTap {
  tap: string;
  /** `nat` reaches the internet; `host` only this host. */
  mode: "nat" | "host";
  /** With `mac` the only source that the rules let through. */
  address: Address;
  mac: string;
  /** Named networks, sorted; machines that share one reach each other. */
  networks: readonly string[];
  /** Whether its policy opens addresses that are closed otherwise. */
  isMetadataOpen?: boolean | undefined;
}

/** Made for one machine, and removed with it. */
export interface MachineTap extends BangerTap {
  machineId: string;
  /** Another daemon that is asked for a name must know that it may not answer. */
  hasPolicy?: boolean | undefined;
}

/** Made by `banger setup` for whichever machine of its owner comes. */
export interface PoolTap extends BangerTap {
  user_uid: number;
}

/** What the alias of a bridge tells. */
export interface BridgeMark {
  gateway: Cidr;
  /** The machines' IPv6 block; absent where they have IPv4 only. */
  subnet6?: Cidr | undefined;
  /** Where questions to port 53 of the gateway go instead, for a daemon that may not take that port. */
  dnsPort?: number | undefined;
}

export function readDevice(name: string): Device | undefined {
  const folder = `${DEVICES}/${name}`;
  const alias = readText(`${folder}/ifalias`);
  if (alias === undefined) return undefined;
  return {
    name,
    alias: alias.trim(),
    isBridge: readText(`${folder}/bridge/bridge_id`) !== undefined,
    master: readMaster(folder),
  };
}

/** Names of the ports of a bridge; empty when there is no such bridge. */
export function portsOf(bridge: string): string[] {
  try {
    return readdirSync(`${DEVICES}/${bridge}/brif`);
  } catch {
    return [];
  }
}

/** The machines connected to a bridge by taps of their own, by tap name. */
export function machineTaps(bridge: string): MachineTap[] {
  return portsOf(bridge)
    .sort()
    .flatMap((tap) => parseTapAlias(tap, readAlias(tap)) ?? []);
}

/** The taps that `banger setup` left on a bridge, by tap name. */
export function poolTaps(bridge: string): PoolTap[] {
  return portsOf(bridge)
    .sort()
    .flatMap((tap) => parsePoolAlias(tap, readAlias(tap)) ?? []);
}

export function tapAlias(tap: Omit<MachineTap, "tap">): string {
  return [
    `banger:${tap.mode}:${tap.machineId}:${tap.address}`,
    `mac=${tap.mac}`,
    ...(tap.networks.length > 0 ? [`net=${tap.networks.join("+")}`] : []),
    ...(tap.hasPolicy ? ["policy=on"] : []),
    ...(tap.isMetadataOpen ? ["metadata=open"] : []),
  ].join("/");
}

/** An alias without a hardware address has the one that is made from the machine's id. */
export function parseTapAlias(tap: string, alias: string): MachineTap | undefined {
  const match = /^banger:(nat|host):([a-z0-9-]+):([0-9a-f.:]+)((?:\/[a-z]+=[^/]+)*)$/.exec(alias);
  const address = tryParseAddress(match?.[3] ?? "");
  if (!match || !address) return undefined;
  const machineId = match[2] ?? "";
  const fields = parseFields(match[4] ?? "");
  return {
    tap,
    machineId,
    mode: match[1] === "nat" ? "nat" : "host",
    address,
    mac: fields.get("mac") ?? macAddress(machineId),
    networks: fields.get("net")?.split("+") ?? [],
    ...(fields.has("policy") ? { hasPolicy: true } : {}),
    ...(fields.has("metadata") ? { isMetadataOpen: true } : {}),
  };
}

export function poolAlias(tap: Omit<PoolTap, "tap" | "networks">): string {
  return `banger:pool-${tap.mode}:${tap.user_uid}:${tap.address}/mac=${tap.mac}`;
}

export function parsePoolAlias(tap: string, alias: string): PoolTap | undefined {
  const match = /^banger:pool-(nat|host):(\d+):([0-9a-f.:]+)\/mac=([0-9a-f:]{17})$/.exec(alias);
  const address = tryParseAddress(match?.[3] ?? "");
  if (!match || !address) return undefined;
  const [, mode, uid, , mac = ""] = match;
  const shared = { tap, address, mac, networks: [], user_uid: Number(uid) };
  return { ...shared, mode: mode === "nat" ? "nat" : "host" };
}

export function bridgeAlias({ gateway, subnet6, dnsPort }: BridgeMark): string {
  const fields = [...(subnet6 ? [`,ip6=${subnet6}`] : []), ...(dnsPort ? [`,dns=${dnsPort}`] : [])];
  return `banger:bridge:${gateway}${fields.join("")}`;
}

/** Undefined where banger did not make the bridge. */
export function parseBridgeAlias(alias: string): BridgeMark | undefined {
  const block = "([0-9a-f.:]+/\\d+)";
  const form = new RegExp(`^banger:bridge:${block}(?:,ip6=${block})?(?:,dns=(\\d{1,5}))?$`);
  const [, gateway, subnet6, dnsPort] = form.exec(alias) ?? [];
  if (!gateway) return undefined;
  return {
    gateway: parseCidr(gateway),
    subnet6: subnet6 ? parseCidr(subnet6) : undefined,
    dnsPort: dnsPort ? Number(dnsPort) : undefined,
  };
}

/** The families with a default route that leads anywhere; of the network namespace of process `pid`. */
export function defaultRoutes(pid: number | "self" = "self"): Family[] {
  const device = parseDefaultDevice(readText(`/proc/${pid}/net/route`) ?? "");
  const device6 = parseDefaultDevice6(readText(`/proc/${pid}/net/ipv6_route`) ?? "");
  return [...(device ? [4 as const] : []), ...(device6 ? [6 as const] : [])];
}

/** The MTU of the device that the default route leads to, for no packet may need to be split there. */
export function uplinkMtu(): number {
  const device =
    parseDefaultDevice(readText("/proc/net/route") ?? "") ??
    parseDefaultDevice6(readText("/proc/net/ipv6_route") ?? "");
  const mtu = device ? Number(readText(`${DEVICES}/${device}/mtu`)) : Number.NaN;
  return Math.min(mtu || DEFAULT_MTU, MAX_TAP_MTU);
}

export function deviceMtu(name: string): number {
  return Number(readText(`${DEVICES}/${name}/mtu`)) || DEFAULT_MTU;
}

/** Device of the default route with the lowest metric in the text of /proc/net/route. */
export function parseDefaultDevice(routes: string): string | undefined {
  let best: { device: string; metric: number } | undefined;
  for (const line of routes.split("\n").slice(1)) {
    const [device = "", target, , flags = "", , , metricText, mask] = line.trim().split(/\s+/);
    const isUp = (Number.parseInt(flags, 16) & RTF_UP) !== 0;
    const metric = Number(metricText);
    if (!isUp || target !== "00000000" || mask !== "00000000") continue;
    if (!best || metric < best.metric) best = { device, metric };
  }
  return best?.device;
}

/** The device of the best IPv6 default route, from the text of /proc/net/ipv6_route. */
export function parseDefaultDevice6(routes: string): string | undefined {
  const found = routes.split("\n").flatMap((line) => {
    const [target, length, , , , metric = "", , , flags = "", device] = line.trim().split(/\s+/);
    const bits = Number.parseInt(flags, 16);
    const leads = (bits & RTF_UP) !== 0 && (bits & RTF_REJECT) === 0 && device !== "lo";
    if (!leads || !device || length !== "00" || !/^0{32}$/.test(target ?? "")) return [];
    return [{ device, metric: Number.parseInt(metric, 16) }];
  });
  return found.toSorted((a, b) => a.metric - b.metric)[0]?.device;
}

function readAlias(device: string): string {
  return readText(`${DEVICES}/${device}/ifalias`)?.trim() ?? "";
}

/** "/mac=…/net=…" as it stands behind the address. */
function parseFields(text: string): Map<string, string> {
  const pairs = text.split("/").filter((part) => part !== "");
  return new Map(pairs.map((part): [string, string] => splitPair(part)));
}

function splitPair(part: string): [string, string] {
  const at = part.indexOf("=");
  return [part.slice(0, at), part.slice(at + 1)];
}

function readMaster(folder: string): string | undefined {
  try {
    return basename(readlinkSync(`${folder}/master`));
  } catch {
    return undefined;
  }
}

/** A device can go at any moment: whatever cannot be read is not there. */
function readText(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (errnoOf(error) !== undefined) return undefined;
    throw error;
  }
}
