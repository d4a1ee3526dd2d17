/**
 * The nftables rules for all machines of a bridge, rendered in full from what is connected. Two tables with one name:
 * "bridge" sees every frame that a machine sends, "inet" what leaves the bridge.
 */
import { type Address, type Cidr, type Family, familyOf, numberOf } from "#net/address.ts";
import { METADATA_BLOCKS } from "#net/blocks.ts";
import type { BangerTap } from "#net/devices.ts";
import { PRESENCE_DSCP } from "#net/dns/presence.ts";
import { address6Of, linkLocalOf } from "#net/ipv6.ts";
import { OWNER_MARK } from "./nft.ts";

/** Questions to port 53 of `gateway` are led to `port`, where only this user answers. */
export interface DnsRedirect {
  gateway: Address;
  port: number;
  user_uid: number;
}

export interface RuleState {
  table: string;
  bridge: string;
  taps: readonly BangerTap[];
  /** The machines' IPv6 block; without one the bridge carries none of it. */
  subnet6?: Cidr | undefined;
  dnsRedirect?: DnsRedirect | undefined;
}

/**
 * Both tables as nft prints them. Other tables can still drop what these accept: in nftables an
 * accept ends only its own chain.
 */
export function renderTables(state: RuleState): string {
  return `${renderRouting(state)}${renderFrames(state)}`;
}

/** What may leave the bridge or pass over it as packets of the host. */
function renderRouting({ table, bridge, taps, subnet6, dnsRedirect }: RuleState): string {
  const outward = taps.filter(({ mode }) => mode === "nat").map(({ address }) => address);
  const outward6 = subnet6 && outward.map((address) => address6Of(subnet6, address));
  const networks = networksOf(taps);
  return [
    `table inet ${table} {`,
    `\tcomment "${OWNER_MARK}"`,
    ...renderSet("nat_machines", "type ipv4_addr", outward),
    ...(outward6 ? renderSet("nat_machines6", "type ipv6_addr", outward6) : []),
    ...networks.flatMap(({ name, members }) => renderMembers(name, members, subnet6)),
    "\tchain forward {",
    "\t\ttype filter hook forward priority filter; policy accept;",
    // With br_netfilter, frames between two ports come by here as well.
    ...networks.flatMap(({ name }) => {
      const among = (ip: string, set: string): string =>
        `\t\tiifname "${bridge}" oifname "${bridge}" ${ip} saddr @${set} ${ip} daddr @${set} accept`;
      return [among("ip", `net_${name}`), ...(subnet6 ? [among("ip6", `net6_${name}`)] : [])];
    }),
    // How neighbours find each other. It is never routed, and its own table says to which ports it gets.
    ...(subnet6 && networks.length > 0
      ? [`\t\tiifname "${bridge}" oifname "${bridge}" ip6 daddr ff02::/16 accept`]
      : []),
    `\t\tiifname "${bridge}" oifname "${bridge}" drop`,
    `\t\tiifname "${bridge}" ip saddr @nat_machines accept`,
    ...(subnet6 ? [`\t\tiifname "${bridge}" ip6 saddr @nat_machines6 accept`] : []),
    `\t\tiifname "${bridge}" drop`,
    `\t\toifname "${bridge}" ct state established,related accept`,
    `\t\toifname "${bridge}" drop`,
    "\t}",
    "",
    ...renderMetadata({ bridge, taps, subnet6 }),
    ...(dnsRedirect ? renderRedirect(bridge, dnsRedirect) : []),
    "\tchain postrouting {",
    "\t\ttype nat hook postrouting priority srcnat; policy accept;",
    `\t\tip saddr @nat_machines oifname != "${bridge}" masquerade`,
    ...(subnet6 ? [`\t\tip6 saddr @nat_machines6 oifname != "${bridge}" masquerade`] : []),
    "\t}",
    "}",
    "",
  ].join("\n");
}

/**
 * Before anybody else's rules can lead these packets elsewhere, as those of a metadata proxy do. Turned away at
 * once, because programs that look for a cloud would wait.
 */
function renderMetadata({
  bridge,
  taps,
  subnet6,
}: Pick<RuleState, "bridge" | "taps" | "subnet6">): string[] {
  const open = taps.filter((tap) => tap.isMetadataOpen).map(({ address }) => address);
  const open6 = subnet6 ? open.map((address) => address6Of(subnet6, address)) : [];
  const to = (family: Family, ip: string): string => {
    const blocks = METADATA_BLOCKS.filter((block) => familyOf(block) === family);
    return `\t\tiifname "${bridge}" ${ip} daddr { ${blocks.join(", ")} } jump metadata`;
  };
  return [
    "\tchain metadata {",
    ...open.map((address) => `\t\tip saddr ${address} return`),
    ...open6.map((address) => `\t\tip6 saddr ${address} return`),
    "\t\tmeta l4proto { tcp, udp } th dport 53 return",
    "\t\tmeta l4proto tcp reject with tcp reset",
    "\t\treject with icmpx admin-prohibited",
    "\t}",
    "",
    "\tchain closed {",
    "\t\ttype filter hook prerouting priority mangle; policy accept;",
    to(4, "ip"),
    ...(subnet6 ? [to(6, "ip6")] : []),
    // Older versions of passt and pasta send these if the host is behind one; a router answers with a reset.
    `\t\tiifname != "${bridge}" tcp flags & (fin | syn | rst | ack) == 0x0 drop`,
    "\t}",
    "",
  ];
}

/**
 * Anybody may listen on the port while the user's daemon does not. Questions get there only while the daemon shows that
 * it is there (see dns/presence.ts), and nobody else's answer gets out: of a TCP connection all but the kernel's own
 * first packet, which belongs to nobody yet.
 */
function renderRedirect(bridge: string, { gateway, port, user_uid }: DnsRedirect): string[] {
  const from = `ip saddr ${gateway} meta l4proto { tcp, udp } th sport ${port}`;
  const match = `iifname "${bridge}" ip daddr ${gateway}`;
  // Machines of root share the bridge.
  const owners = `{ ${[...new Set([0, user_uid])].join(", ")} }`;
  const own = `ip saddr ${gateway} ip daddr ${gateway} meta skuid ${owners}`;
  const isEnd = `tcp dport ${port} ip dscp ${PRESENCE_DSCP} tcp flags & (fin | rst) != 0x0`;
  const isBeat = `tcp sport ${port} tcp flags & psh == psh`;
  return [
    "\tset dns_present {",
    "\t\ttype ipv4_addr",
    "\t\tsize 1",
    "\t\tflags dynamic",
    "\t}",
    "",
    "\tchain prerouting {",
    "\t\ttype nat hook prerouting priority dstnat; policy accept;",
    ...["udp", "tcp"].map((l4) => `\t\t${match} ${l4} dport 53 redirect to :${port}`),
    "\t}",
    "",
    "\tchain input {",
    "\t\ttype filter hook input priority filter; policy accept;",
    `\t\t${match} meta l4proto { tcp, udp } th dport ${port} ip daddr != @dns_present reject`,
    "\t}",
    "",
    "\tchain output {",
    "\t\ttype filter hook output priority filter; policy accept;",
    `\t\t${own} ${isEnd} delete @dns_present { ip saddr }`,
    `\t\t${from} meta skuid != ${owners} drop`,
    `\t\t${own} ${isBeat} add @dns_present { ip saddr }`,
    "\t}",
    "",
  ];
}

function renderMembers(
  name: string,
  members: readonly BangerTap[],
  subnet6: Cidr | undefined,
): string[] {
  const addresses = members.map(({ address }) => address);
  const addresses6 = subnet6 && members.flatMap((tap) => addresses6Of(subnet6, tap));
  return [
    ...renderSet(`net_${name}`, "type ipv4_addr", addresses),
    ...(addresses6 ? renderSet(`net6_${name}`, "type ipv6_addr", addresses6) : []),
  ];
}

/**
 * A machine sends from its own hardware and network addresses or not at all, as IPv4, ARP and
 * IPv6 and nothing else; an ARP probe, which names no sender, is harmless. Ports of one named network
 * reach each other. Isolation keeps the others apart already, but not from a port that shares
 * a network with somebody.
 */
function renderFrames({ table, taps, subnet6 }: RuleState): string {
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
    ...(subnet6 ? renderFrames6(taps, subnet6) : []),
    "\tchain prerouting {",
    "\t\ttype filter hook prerouting priority dstnat; policy accept;",
    "\t\tiifname != @taps accept",
    // A tag is taken off before the rules: what follows would look at what is behind it.
    `\t\tether type != { ip, arp${subnet6 ? ", ip6" : ""} } drop`,
    "\t\tiifname . ether saddr . ip saddr @senders accept",
    "\t\tiifname . ether saddr . arp saddr ether . arp saddr ip @arp_senders accept",
    ...(subnet6 ? ["\t\tether type ip6 goto ipv6"] : []),
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

/**
 * The same for IPv6, where neighbours take the place of ARP: a machine advertises its own addresses
 * only, and nobody else's router. Without an address it may ask whether one is in use, and for nothing else.
 */
function renderFrames6(taps: readonly BangerTap[], subnet6: Cidr): string[] {
  const owned = taps.flatMap((each) =>
    addresses6Of(subnet6, each).map((address6) => ({ ...each, address6 })),
  );
  const senders = owned.map(({ tap, mac, address6 }) => `"${tap}" . ${mac} . ${address6}`);
  // The target stands behind the four bytes of flags; this nft has no name for it yet.
  const targets = owned.map(({ tap, address6 }) => `"${tap}" . ${hexNumber(address6)}`);
  return [
    ...renderSet("senders6", "typeof iifname . ether saddr . ip6 saddr", senders),
    ...renderSet("advertised", "typeof iifname . @th,64,128", targets),
    "\tchain ipv6 {",
    "\t\ticmpv6 type { nd-router-advert, nd-redirect } drop",
    "\t\ticmpv6 type nd-neighbor-advert iifname . @th,64,128 != @advertised drop",
    "\t\tiifname . ether saddr . ip6 saddr @senders6 accept",
    "\t\tip6 saddr :: icmpv6 type { nd-neighbor-solicit, mld2-listener-report } accept",
    "\t\tdrop",
    "\t}",
    "",
  ];
}

/** The one that it is given, and the one that it gives itself. */
function addresses6Of(subnet6: Cidr, { address, mac }: BangerTap): Address[] {
  return [address6Of(subnet6, address), linkLocalOf(mac)];
}

function hexNumber(address: Address): string {
  return `0x${numberOf(address).toString(16)}`;
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
