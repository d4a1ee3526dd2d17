/** Finds firewall rules of other programs that drop the machines' packets even though banger's table accepts them. */
import { readFileSync } from "node:fs";
import { z } from "zod";
import { run } from "#base/run.ts";
import type { Family } from "#net/address.ts";

/** A busy or emulated host takes seconds. */
const NFT_TIMEOUT_MS = 60_000;

/** `forward`: on their way out; `input`: questions to the DNS server on the gateway. */
export type FirewallHook = "forward" | "input";

export type FirewallName = "docker" | "firewalld" | "ufw" | "unknown";

export interface Firewall {
  hook: FirewallHook;
  family: Family;
  name: FirewallName;
  /** Such as 'chain "FORWARD" of table "ip filter"'. */
  place: string;
  /** The commands that let the machines' packets through. */
  fix: string;
}

/** Whose rules are looked for, and for what. */
export interface Judged {
  bridge: string;
  table: string;
  /** Whether machines have a way out over IPv6 that could be closed. */
  hasIpv6?: boolean;
}

const chainObject = z.object({
  family: z.string(),
  table: z.string(),
  name: z.string(),
  hook: z.string().optional(),
  policy: z.string().optional(),
});
type Chain = z.infer<typeof chainObject>;

const ruleObject = z.object({
  family: z.string(),
  table: z.string(),
  chain: z.string(),
  expr: z.unknown(),
});

/** What `nft -j list ruleset` prints, as far as it is looked at. */
const rulesetOutput = z.object({
  nftables: z
    .array(z.object({ chain: chainObject.optional(), rule: ruleObject.optional() }))
    .default([]),
});

interface Ruleset {
  chains: Chain[];
  /** JSON of each rule, with the table and the chain it is in. */
  rules: { table: string; chain: string; text: string }[];
}

/** Undefined when nothing stops the packets of `bridge`, or when the rules cannot be read. */
export async function findBlockingFirewall(own: Judged): Promise<Firewall | undefined> {
  const { exitCode, stdout } = await run(["nft", "-j", "list", "ruleset"], {
    timeout_ms: NFT_TIMEOUT_MS,
  });
  if (exitCode !== 0) return undefined;
  let ruleset: Ruleset;
  try {
    ruleset = parseRuleset(stdout);
  } catch {
    return undefined;
  }
  return judgeRuleset(ruleset, own);
}

/** Reads `nft -j list ruleset`. */
export function parseRuleset(json: string): Ruleset {
  const { nftables } = rulesetOutput.parse(JSON.parse(json));
  const ruleset: Ruleset = { chains: [], rules: [] };
  for (const { chain, rule } of nftables) {
    if (chain) ruleset.chains.push(chain);
    if (rule) {
      const text = JSON.stringify(rule.expr) ?? "";
      const table = `${rule.family} ${rule.table}`;
      ruleset.rules.push({ table, chain: rule.chain, text });
    }
  }
  return ruleset;
}

/**
 * A chain that drops by default stops us, unless some rule beside ours names the bridge: then
 * somebody has let it through already. What stops packets on their way out is found first.
 */
export function judgeRuleset(ruleset: Ruleset, own: Judged): Firewall | undefined {
  const judge = (hook: FirewallHook, family: Family) => judgeHook(ruleset, own, { hook, family });
  // Names are asked for over IPv4.
  return (
    judge("forward", 4) ?? judge("input", 4) ?? (own.hasIpv6 ? judge("forward", 6) : undefined)
  );
}

function judgeHook(
  { chains, rules }: Ruleset,
  { bridge, table }: Judged,
  { hook, family }: { hook: FirewallHook; family: Family },
): Firewall | undefined {
  const families = family === 4 ? /^(ip|inet)$/ : /^(ip6|inet)$/;
  // Policies are in tables that have the names of taps.
  const isOwn = (name: string): boolean => name === `inet ${table}` || name.startsWith("inet bgr-");
  const isLetThrough = rules.some(
    (rule) =>
      !isOwn(rule.table) &&
      families.test(rule.table.split(" ")[0] ?? "") &&
      rule.text.includes(`"${bridge}"`) &&
      /input/i.test(rule.chain) === (hook === "input"),
  );
  if (isLetThrough) return undefined;
  const has = (name: string): boolean => chains.some((chain) => chain.name === name);
  for (const chain of chains) {
    const place = `${chain.family} ${chain.table}`;
    if (chain.hook !== hook || isOwn(place) || !families.test(chain.family)) continue;
    // Its chains accept by policy and reject with their last rule.
    const isFirewalld =
      chain.table === "firewalld" && chain.name === `filter_${hook.toUpperCase()}`;
    if (chain.policy !== "drop" && !isFirewalld) continue;
    const name = isFirewalld
      ? "firewalld"
      : has(family === 4 ? "ufw-user-forward" : "ufw6-user-forward")
        ? "ufw"
        : has("DOCKER-USER") && hook === "forward"
          ? "docker"
          : "unknown";
    const where = `chain "${chain.name}" of table "${place}"`;
    return { hook, family, name, place: where, fix: fixOf(name, { bridge, hook, family }) };
  }
  return undefined;
}

/** Whether rules of the older iptables are in use, which `nft list ruleset` does not show. */
export function hasLegacyIptables(path = "/proc/net/ip_tables_names"): boolean {
  try {
    return readFileSync(path, "utf8").split("\n").includes("filter");
  } catch {
    return false;
  }
}

function fixOf(
  name: FirewallName,
  { bridge, hook, family }: { bridge: string; hook: FirewallHook; family: Family },
): string {
  const iptables = family === 4 ? "iptables" : "ip6tables";
  switch (name) {
    case "docker":
      return acceptIn(iptables, { chain: "DOCKER-USER", bridge });
    case "firewalld":
      return `sudo firewall-cmd --permanent --zone=trusted --add-interface=${bridge} && sudo firewall-cmd --reload`;
    case "ufw":
      if (hook === "input") return `sudo ufw allow in on ${bridge} to any port 53`;
      return `sudo ufw route allow in on ${bridge}`;
    case "unknown":
      if (hook === "input") return acceptQuestions(bridge);
      return acceptIn(iptables, { chain: "FORWARD", bridge });
  }
}

function acceptQuestions(bridge: string): string {
  const accept = (protocol: string): string =>
    `sudo iptables -I INPUT -i ${bridge} -p ${protocol} --dport 53 -j ACCEPT`;
  return `${accept("udp")} && ${accept("tcp")}`;
}

function acceptIn(iptables: string, { chain, bridge }: { chain: string; bridge: string }): string {
  const back = "-m conntrack --ctstate RELATED,ESTABLISHED";
  return `sudo ${iptables} -I ${chain} -i ${bridge} -j ACCEPT && sudo ${iptables} -I ${chain} -o ${bridge} ${back} -j ACCEPT`;
}
