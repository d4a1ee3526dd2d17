/**
 * What the kernel says of the network devices, read from /sys and /proc: microseconds where
 * a process takes milliseconds. The marks that banger leaves in the alias of each device it
 * makes are the only record of what is connected, so nothing has to be restored after a crash.
 */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { basename } from "node:path";
import { errnoOf } from "#base/error.ts";
import { type Address, type Cidr, parseCidr, tryParseAddress } from "./address.ts";

const DEVICES = "/sys/class/net";
const DEFAULT_MTU = 1500;
/** The most that a tap takes (linux/drivers/net/tun.c). */
const MAX_TAP_MTU = 65_521;
const RTF_UP = 1;

export interface Device {
  name: string;
  /** `alias` of `ip link`; empty where there is none. */
  alias: string;
  isBridge: boolean;
  /** Name of the bridge that it is a port of. */
  master: string | undefined;
}

/** A tap that banger made, as its alias tells. */
export interface MachineTap {
  tap: string;
  machineId: string;
  /** `nat` reaches the outside; `host` only this computer. */
  mode: "nat" | "host";
  address: Address;
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

/** The machines connected to a bridge, by tap name. */
export function machineTaps(bridge: string): MachineTap[] {
  return portsOf(bridge)
    .sort()
    .flatMap(
      (tap) => parseTapAlias(tap, readText(`${DEVICES}/${tap}/ifalias`)?.trim() ?? "") ?? [],
    );
}

export function tapAlias(tap: Omit<MachineTap, "tap">): string {
  return `banger:${tap.mode}:${tap.machineId}:${tap.address}`;
}

export function parseTapAlias(tap: string, alias: string): MachineTap | undefined {
  const match = /^banger:(nat|host):([a-z0-9-]+):([0-9a-f.:]+)$/.exec(alias);
  const address = tryParseAddress(match?.[3] ?? "");
  if (!match || !address) return undefined;
  return { tap, machineId: match[2] ?? "", mode: match[1] === "nat" ? "nat" : "host", address };
}

export function bridgeAlias(gateway: Cidr): string {
  return `banger:bridge:${gateway}`;
}

/** The bridge's own address, where banger made it. */
export function parseBridgeAlias(alias: string): Cidr | undefined {
  const match = /^banger:bridge:([0-9a-f.:]+\/\d+)$/.exec(alias);
  return match?.[1] ? parseCidr(match[1]) : undefined;
}

/** The MTU of the device that the default route leads to, for no packet may need to be split there. */
export function uplinkMtu(): number {
  const device = parseDefaultDevice(readText("/proc/net/route") ?? "");
  const mtu = device ? Number(readText(`${DEVICES}/${device}/mtu`)) : Number.NaN;
  return Math.min(mtu || DEFAULT_MTU, MAX_TAP_MTU);
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
