/**
 * A machine's policy as an nftables table of its own, so that it can change without touching other machines' rules.
 * Traffic that it accepts must also pass the main table.
 */
import { randomInt } from "node:crypto";
import { hexOf, sha256 } from "#base/digest.ts";
import { type Address, type Cidr, type Family, familyOf } from "#net/address.ts";
import { emptied, OWNER_MARK } from "#net/nft/nft.ts";
import { OWN_SOCKET_MARK } from "#net/socket-mark.ts";
import {
  isTcpName,
  needsProxy,
  type Policy,
  type PolicyRule,
  type PolicyTarget,
} from "./policy.ts";

/** Addresses of one name that are allowed at a time. */
const MAX_NAME_ADDRESSES = 4096;
/** Remembered for the log; those that were seen first are forgotten with time. */
const MAX_SEEN = 1024;
const FAMILIES = [4, 6] as const;
/** It hides which name it is for: a denied name that an address leads to as well is reached without it. */
const WITHOUT_QUIC = "udp dport { 80, 443 } goto deny";
const TABLE_VERSION = 3;
export const SEEN_TIMEOUT_S = 86_400;

/** What the rules are about. */
export interface PolicyMachine {
  machineId: string;
  /** Its tap; the table has the same name. */
  tap: string;
  address: Address;
  /** All that it can send from over IPv6; none where the bridge has no IPv6. */
  addresses6: readonly Address[];
  bridge: string;
  /** Where our DNS server answers: the host's IPv4 address on the bridge, and the port where questions arrive. */
  gateway: Address;
  dnsPort: number;
  /** Where the proxy listens, for a policy that needs it. */
  proxy?: ProxyEnd | undefined;
  /** The machines' own blocks, which no proxy is between. */
  subnets: readonly Cidr[];
}

export interface ProxyEnd {
  port: number;
  addresses: readonly Address[];
}

/** Elements that a set of names has already, with the seconds that they have left. */
export type KnownAddresses = ReadonlyMap<string, readonly { address: string; left_s: number }[]>;

/** Replaces the table in one transaction. */
export function renderPolicy(
  machine: PolicyMachine,
  policy: Policy,
  known: KnownAddresses = new Map(),
): string {
  return `${emptyPolicy(machine.tap)}${renderTable(machine, policy, known)}`;
}

/** Removes the table if it is there. */
export function emptyPolicy(tap: string): string {
  return emptied("inet", tap);
}

/** The set that holds the addresses of a name, the same one in every version of a policy. */
export function nameSet(target: Extract<PolicyTarget, { kind: "name" }>, family: Family): string {
  const text = `${target.isSuffix ? "*." : ""}${target.name}`;
  return `name${family === 6 ? "6" : ""}_${hexOf(sha256(text)).slice(0, 12)}`;
}

export function ruleCounter(index: number): string {
  return `rule_${index}`;
}

/**
 * A counter that counts nothing, whose name says of which policy the table is, and by which
 * version of what follows: one that an older banger made is made anew.
 */
export function policyMark(policy: Policy, { proxy }: Pick<PolicyMachine, "proxy">): string {
  const text = `${TABLE_VERSION} ${JSON.stringify([policy, proxy])}`;
  return `policy_${hexOf(sha256(text)).slice(0, 12)}`;
}

function renderTable(machine: PolicyMachine, policy: Policy, known: KnownAddresses): string {
  const { tap, address, addresses6, bridge } = machine;
  // Connections that an earlier version of the policy let through have another mark, and are judged anew.
  const mark = `0x${randomInt(1, 0x7fff_ffff).toString(16)}`;
  const names = policy.rules.flatMap(({ target, isUdp, isDeny }) =>
    target.kind === "name" && isUdp && !isDeny ? [target] : [],
  );
  const sets = new Map(
    FAMILIES.flatMap((family) => names.map((each) => [nameSet(each, family), family] as const)),
  );
  const from = [
    `iifname "${bridge}" ip saddr ${address}`,
    ...addresses6.map((each) => `iifname "${bridge}" ip6 saddr ${each}`),
  ];
  const seen = ["size", String(MAX_SEEN), "; flags dynamic,timeout; timeout", `${SEEN_TIMEOUT_S}s`];
  return [
    `table inet ${tap} {`,
    `comment "${OWNER_MARK}"`,
    ...policy.rules.map((_, index) => `counter ${ruleCounter(index)} { }`),
    "counter denied { }",
    `counter ${policyMark(policy, machine)} { }`,
    ...[...sets].map(([set, family]) => renderNameSet(set, { family, known })),
    ...["allowed", "denied"].flatMap((verdict) =>
      FAMILIES.flatMap((family) => [
        `set ${verdict}_ports${family} { typeof ${ip(family)} daddr . meta l4proto . th dport; ${seen.join(" ")}; }`,
        `set ${verdict}_others${family} { typeof ${ip(family)} daddr . meta l4proto; ${seen.join(" ")}; }`,
      ]),
    ),
    "chain allow {",
    ...remember("allowed"),
    `ct mark set ${mark}`,
    "accept",
    "}",
    "chain deny {",
    "counter name denied",
    ...remember("denied"),
    // The kernel sends only so many ICMP errors a second: a program would be left waiting.
    "meta l4proto tcp reject with tcp reset",
    "reject with icmpx admin-prohibited",
    "}",
    ...renderJudge("judge", policy, { mark, isMeant: (rule) => !isTcpName(rule) }),
    // A name's owner can point it anywhere: the host's own addresses must be allowed by address.
    ...renderJudge("judge_host", policy, {
      mark,
      isMeant: ({ target }) => target.kind === "block",
    }),
    ...renderProxied(machine, { policy, from }),
    "chain forward {",
    "type filter hook forward priority filter - 5; policy accept;",
    // Machines that share a network are the main table's business.
    ...from.map((each) => `oifname != "${bridge}" ${each} goto judge`),
    "}",
    "chain input {",
    "type filter hook input priority filter - 5; policy accept;",
    ...acceptQuestions(machine, mark),
    ...acceptProxied(machine, { from, mark }),
    // How the two find each other; nothing of it goes further than the wire.
    `iifname "${bridge}" icmpv6 type { nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert, mld2-listener-report } accept`,
    ...from.map((each) => `${each} goto judge_host`),
    "}",
    "}",
    "",
  ].join("\n");
}

/**
 * Only to our own server: whoever else listens there, as after the end of the daemon, has no socket with
 * the mark. It listens on IPv4 only. In a TCP connection nothing but the first packet meets the listener.
 */
function acceptQuestions({ bridge, gateway, dnsPort }: PolicyMachine, mark: string): string[] {
  const ours = `socket mark 0x${OWN_SOCKET_MARK.toString(16)}`;
  const match = (l4: string): string =>
    `iifname "${bridge}" ip daddr ${gateway} ${l4} dport ${dnsPort} ${ours}`;
  return [`${match("udp")} accept`, `${match("tcp")} ct mark set ${mark} accept`];
}

/**
 * Leads TCP to the proxy, but for what only the kernel decides: the host, other machines, DNS, and rules by address
 * that no rule by name comes before with another verdict.
 */
function renderProxied(
  { proxy, subnets }: PolicyMachine,
  { policy, from }: { policy: Policy; from: readonly string[] },
): string[] {
  if (!proxy || !needsProxy(policy)) return [];
  const past = policy.secretHosts ? [] : decidedByAddress(policy);
  return [
    "chain proxied {",
    "fib daddr type != unicast return",
    ...subnets.map((each) => `${ip(familyOf(each))} daddr ${each} return`),
    "ip6 daddr fe80::/10 return",
    "tcp dport { 53, 853 } return",
    ...past.flatMap((rule) => conditions(rule).map((each) => `${each} return`)),
    ...proxy.addresses.map((address) => {
      const [family, to] = familyOf(address) === 4 ? ["ip", address] : ["ip6", `[${address}]`];
      return `meta nfproto ${family === "ip" ? "ipv4" : "ipv6"} meta l4proto tcp dnat ${family} to ${to}:${proxy.port}`;
    }),
    "}",
    "chain to_proxy {",
    "type nat hook prerouting priority dstnat - 5; policy accept;",
    ...from.map((each) => `${each} meta l4proto tcp jump proxied`),
    "}",
  ];
}

function decidedByAddress({ rules }: Policy): PolicyRule[] {
  return rules.filter((rule, index) => {
    const isName = (each: PolicyRule): boolean => isTcpName(each) && each.isDeny !== rule.isDeny;
    return rule.target.kind === "block" && !rules.slice(0, index).some(isName);
  });
}

/**
 * Only what was led there, and only to our own socket: see `acceptQuestions`. While nobody listens, the kernel itself
 * turns connections away.
 */
function acceptProxied(
  { proxy }: PolicyMachine,
  { from, mark }: { from: readonly string[]; mark: string },
): string[] {
  if (!proxy) return [];
  const other = `socket mark != 0x${OWN_SOCKET_MARK.toString(16)} goto deny`;
  return from.flatMap((each) => {
    const match = `${each} tcp dport ${proxy.port} ct status dnat`;
    return [`${match} ct state new ${other}`, `${match} ct mark set ${mark} accept`];
  });
}

function renderJudge(
  chain: string,
  { rules }: Policy,
  { mark, isMeant }: { mark: string; isMeant: (rule: PolicyRule) => boolean },
): string[] {
  return [
    `chain ${chain} {`,
    // Connections that others opened, such as to a published port, are not subject to the policy.
    "ct direction reply accept",
    `ct state established,related ct mark ${mark} accept`,
    // Names are our own server's business, in the clear and encrypted.
    "meta l4proto { tcp, udp } th dport { 53, 853 } goto deny",
    ...rules.flatMap((rule, index) => [
      ...(isTcpName(rule) && rule.isDeny ? [WITHOUT_QUIC] : []),
      ...(isMeant(rule)
        ? conditions(rule).map(
            (each) =>
              `${each} counter name ${ruleCounter(index)} goto ${rule.isDeny ? "deny" : "allow"}`,
          )
        : []),
    ]),
    "goto deny",
    "}",
  ];
}

function ip(family: Family): "ip" | "ip6" {
  return family === 4 ? "ip" : "ip6";
}

function renderNameSet(
  set: string,
  { family, known }: { family: Family; known: KnownAddresses },
): string {
  const elements = (known.get(set) ?? []).map(
    ({ address, left_s }) => `${address} timeout ${Math.max(1, Math.floor(left_s))}s`,
  );
  const list = elements.length > 0 ? `elements = { ${elements.join(", ")} }` : "";
  return `set ${set} { type ipv${family}_addr; size ${MAX_NAME_ADDRESSES}; flags timeout; ${list}\n}`;
}

function remember(verdict: "allowed" | "denied"): string[] {
  const ports = "meta l4proto { tcp, udp }";
  return FAMILIES.flatMap((family) => [
    `${ports} update @${verdict}_ports${family} { ${ip(family)} daddr . meta l4proto . th dport counter }`,
    `meta l4proto != { tcp, udp } update @${verdict}_others${family} { ${ip(family)} daddr . meta l4proto counter }`,
  ]);
}

function conditions({ target, port, isUdp, isDeny }: PolicyRule): string[] {
  const l4 = isUdp ? "udp" : "{ tcp, udp }";
  const what = port === undefined ? "" : ` meta l4proto ${l4} th dport ${port}`;
  if (target.kind === "block")
    return [`${ip(familyOf(target.block))} daddr ${target.block}${what}`];
  // A denied name is not resolved, so there is no address to hold its datagrams against.
  if (isDeny) return [];
  return FAMILIES.map((family) => `${ip(family)} daddr @${nameSet(target, family)}${what}`);
}
