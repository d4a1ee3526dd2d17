/**
 * The rules for all machines of one bridge, rendered whole from what is connected to it. Two
 * tables of one name: "bridge" sees every frame that a machine sends, "inet" what leaves the bridge.
 */
import type { Address } from "./address.ts";
import type { BangerTap } from "./devices.ts";
import { OWNER_MARK } from "./nft.ts";

export interface RuleState {
  table: string;
  bridge: string;
  taps: readonly BangerTap[];
  /** Questions to port 53 of `gateway` are led to `port`. */
  dnsRedirect?: { gateway: Address; port: number } | undefined;
}

/**
 * Both tables as nft prints them. Other tables can still drop what these accept: in nftables an
 * accept ends only its own chain.
 */
export function renderTables(state: RuleState): string {
  return `${renderRouting(state)}${renderFrames(state)}`;
}

/** What may leave the bridge or pass over it as packets of the host. */
function renderRouting({ table, bridge, taps, dnsRedirect }: RuleState): string {
  const outward = taps.filter(({ mode }) => mode === "nat").map(({ address }) => address);
  const networks = networksOf(taps);
  return [
    `table inet ${table} {`,
    `\tcomment "${OWNER_MARK}"`,
    ...renderSet("nat_machines", "type ipv4_addr", outward),
    ...networks.flatMap(({ name, members }) =>
      renderSet(
        `net_${name}`,
        "type ipv4_addr",
        members.map(({ address }) => address),
      ),
    ),
    "\tchain forward {",
    "\t\ttype filter hook forward priority filter; policy accept;",
    // With br_netfilter, frames between two ports come by here as well.
    ...networks.map(
      ({ name }) =>
        `\t\tiifname "${bridge}" oifname "${bridge}" ip saddr @net_${name} ip daddr @net_${name} accept`,
    ),
    `\t\tiifname "${bridge}" oifname "${bridge}" drop`,
    `\t\tiifname "${bridge}" ip saddr @nat_machines accept`,
    `\t\tiifname "${bridge}" drop`,
    `\t\toifname "${bridge}" ct state established,related accept`,
    `\t\toifname "${bridge}" drop`,
    "\t}",
    "",
    ...(dnsRedirect ? renderRedirect(bridge, dnsRedirect) : []),
    "\tchain postrouting {",
    "\t\ttype nat hook postrouting priority srcnat; policy accept;",
    `\t\tip saddr @nat_machines oifname != "${bridge}" masquerade`,
    "\t}",
    "}",
    "",
  ].join("\n");
}

function renderRedirect(bridge: string, to: { gateway: Address; port: number }): string[] {
  const match = `iifname "${bridge}" ip daddr ${to.gateway}`;
  return [
    "\tchain prerouting {",
    "\t\ttype nat hook prerouting priority dstnat; policy accept;",
    ...["udp", "tcp"].map((l4) => `\t\t${match} ${l4} dport 53 redirect to :${to.port}`),
    "\t}",
    "",
  ];
}

/**
 * A machine sends from its own hardware and network address or not at all, as IPv4 and ARP and
 * nothing else; an ARP probe, which names no sender, is harmless. Ports of one named network
 * reach each other. Isolation keeps the others apart already, but not from a port that shares
 * a network with somebody.
 */
function renderFrames({ table, taps }: RuleState): string {
  const senders = taps.map(({ tap, mac, address }) => `"${tap}" . ${mac} . ${address}`);
  const arpSenders = taps.flatMap(({ tap, mac, address }) =>
    [address, "0.0.0.0"].map((source) => `"${tap}" . ${mac} . ${mac} . ${source}`),
  );
  const networks = networksOf(taps);
  return [
    `table bridge ${table} {`,
    `\tcomment "${OWNER_MARK}"`,
    ...renderSet("taps", "type ifname", quotedTaps(taps)),
    ...renderSet("senders", "typeof iifname . ether saddr . ip saddr", senders),
    ...renderSet(
      "arp_senders",
      "typeof iifname . ether saddr . arp saddr ether . arp saddr ip",
      arpSenders,
    ),
    ...networks.flatMap(({ name, members }) =>
      renderSet(`net_${name}`, "type ifname", quotedTaps(members)),
    ),
    "\tchain prerouting {",
    "\t\ttype filter hook prerouting priority dstnat; policy accept;",
    "\t\tiifname != @taps accept",
    "\t\tiifname . ether saddr . ip saddr @senders accept",
    "\t\tiifname . ether saddr . arp saddr ether . arp saddr ip @arp_senders accept",
    "\t\tdrop",
    "\t}",
    "",
    "\tchain forward {",
    "\t\ttype filter hook forward priority filter; policy accept;",
    ...networks.map(({ name }) => `\t\tiifname @net_${name} oifname @net_${name} accept`),
    "\t\tiifname @taps oifname @taps drop",
    "\t}",
    "}",
    "",
  ].join("\n");
}

/** nft takes no empty list of elements. */
function renderSet(name: string, type: string, elements: readonly string[]): string[] {
  return [
    `\tset ${name} {`,
    `\t\t${type}`,
    ...(elements.length > 0 ? [`\t\telements = { ${elements.join(", ")} }`] : []),
    "\t}",
    "",
  ];
}

function quotedTaps(taps: readonly BangerTap[]): string[] {
  return taps.map(({ tap }) => `"${tap}"`);
}

function networksOf(taps: readonly BangerTap[]): { name: string; members: BangerTap[] }[] {
  const names = [...new Set(taps.flatMap(({ networks }) => networks))].sort();
  return names.map((name) => ({
    name,
    members: taps.filter(({ networks }) => networks.includes(name)),
  }));
}
