/** Creates and removes the bridge and taps, with one `ip` process per change. */
import { readFileSync, writeFileSync } from "node:fs";
import { BangerError } from "#base/error.ts";
import { run } from "#base/run.ts";
import { type Address, addressOf, type Cidr, joinCidr, prefixOf } from "./address.ts";
import { type BridgeMark, bridgeAlias } from "./devices.ts";
import { address6Of, canHaveIpv6, LINK_LOCAL_GATEWAY } from "./ipv6.ts";
import { macAddress } from "./names.ts";
import { changeDenied } from "./rights.ts";

/** The kernel removes an interface once nothing refers to it any more, which takes long at times. */
const LINK_TIMEOUT_MS = 60_000;
const FORWARDING = "/proc/sys/net/ipv4/ip_forward";

export interface BridgePlan extends BridgeMark {
  bridge: string;
  mtu: number;
}

export interface TapPlan {
  tap: string;
  alias: string;
  bridge: string;
  /** Isolated ports reach the bridge itself and no other isolated port. */
  isIsolated: boolean;
  mtu: number;
  /** Who may open the tap without further rights. */
  user_uid: number;
}

/**
 * The hardware address is given, because a bridge without one takes that of a port and changes
 * it when the port goes, which guests would notice as a gateway that stops answering.
 */
export function bridgeCommands({ bridge, mtu, ...mark }: BridgePlan): string[] {
  return [
    `link add name ${bridge} address ${macAddress(bridge)} mtu ${mtu} type bridge`,
    `link set dev ${bridge} alias ${bridgeAlias(mark)}`,
    `addr add ${mark.gateway} dev ${bridge}`,
    `link set dev ${bridge} ${noAddress6(mtu)}up`,
    ...(mark.subnet6 ? address6Commands(bridge, mark.gateway, mark.subnet6) : []),
  ];
}

/** `nodad`: the addresses are unique on the bridge, so duplicate address detection is skipped. */
function address6Commands(bridge: string, gateway: Cidr, subnet6: Cidr): string[] {
  const own = joinCidr(address6Of(subnet6, addressOf(gateway)), prefixOf(subnet6));
  return [own, `${LINK_LOCAL_GATEWAY}/64`].map((each) => `addr add ${each} dev ${bridge} nodad`);
}

export function tapCommands(plan: TapPlan): string[] {
  const { tap, alias, bridge, mtu, user_uid, isIsolated } = plan;
  return [
    `tuntap add dev ${tap} mode tap user ${user_uid}`,
    `link set dev ${tap} alias ${alias} mtu ${mtu} ${noAddress6(mtu)}master ${bridge}`,
    `link set dev ${tap} type bridge_slave isolated ${isIsolated ? "on" : "off"}`,
    `link set dev ${tap} up`,
  ];
}

/** Where there is no IPv6 the kernel knows no such setting either. */
function noAddress6(mtu: number): string {
  return canHaveIpv6(mtu) ? "addrgenmode none " : "";
}

/** Changes what a tap says of itself, and whether it is isolated. */
export function retagCommands(tap: Pick<TapPlan, "tap" | "alias" | "isIsolated">): string[] {
  return [
    `link set dev ${tap.tap} alias ${tap.alias}`,
    `link set dev ${tap.tap} type bridge_slave isolated ${tap.isIsolated ? "on" : "off"}`,
  ];
}

/** The host may remember the hardware address of the machine that had these addresses before. */
export function forgetNeighbour(bridge: string, addresses: readonly Address[]): string[] {
  return addresses.map((address) => `neigh flush to ${address} dev ${bridge}`);
}

export function removeCommand(device: string): string {
  return `link del dev ${device}`;
}

/** Runs the commands in order and stops at the first that does not work. */
export async function applyLinks(commands: readonly string[]): Promise<void> {
  if (commands.length === 0) return;
  const { exitCode, stderr } = await run(["ip", "-batch", "-"], {
    stdin: `${commands.join("\n")}\n`,
    timeout_ms: LINK_TIMEOUT_MS,
  });
  if (exitCode === 0) return;
  const line = Number(/Command failed -:(\d+)/.exec(stderr)?.[1] ?? 0);
  const reason = stderr.replace(/\s*Command failed -:\d+\s*/, "").trim();
  if (/not permitted|permission denied/i.test(reason)) throw changeDenied(reason);
  throw new BangerError(
    "internal",
    `Cannot configure network interfaces: "ip ${commands[line - 1] ?? "-batch -"}": ${reason}`,
    { hint: "Check the host with: banger doctor" },
  );
}

export function isForwarding(): boolean {
  return readFileSync(FORWARDING, "utf8").trim() === "1";
}

/**
 * Lets the kernel route between devices. It stays on when the last machine goes: by then other
 * programs may rely on it, and nothing tells.
 */
export function enableForwarding(): void {
  if (isForwarding()) return;
  try {
    writeFileSync(FORWARDING, "1\n");
  } catch (error) {
    throw new BangerError(
      "permission_denied",
      "Cannot enable NAT: IP forwarding is off (net.ipv4.ip_forward is 0)",
      { hint: "sudo sysctl -w net.ipv4.ip_forward=1", cause: error },
    );
  }
}
