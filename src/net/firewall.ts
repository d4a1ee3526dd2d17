/** Finds other people's rules that stop forwarded packets, whatever our own table accepts. */
import { readFileSync } from "node:fs";
import { run } from "#base/run.ts";

const NFT_TIMEOUT_MS = 10_000;

export type FirewallName = "docker" | "firewalld" | "ufw" | "unknown";

export interface Firewall {
  name: FirewallName;
  /** Such as 'chain "FORWARD" of table "ip filter"'. */
  place: string;
  /** The commands that let the machines' packets through. */
  fix: string;
}

interface Chain {
  family: string;
  table: string;
  name: string;
  hook?: string | undefined;
  policy?: string | undefined;
}

interface Ruleset {
  chains: Chain[];
  /** JSON of each rule, with the table it is in. */
  rules: { table: string; text: string }[];
}

/** Undefined when nothing stops the packets of `bridge`, or when the rules cannot be read. */
export async function findBlockingFirewall(bridge: string, table: string) {
  const { exitCode, stdout } = await run(["nft", "-j", "list", "ruleset"], {
    timeout_ms: NFT_TIMEOUT_MS,
  });
  if (exitCode !== 0) return undefined;
  return judgeRuleset(parseRuleset(stdout), { bridge, table });
}

/** Reads `nft -j list ruleset`. */
export function parseRuleset(json: string): Ruleset {
  const { nftables = [] } = JSON.parse(json) as { nftables?: Record<string, unknown>[] };
  const ruleset: Ruleset = { chains: [], rules: [] };
  for (const { chain, rule } of nftables) {
    if (chain) ruleset.chains.push(chain as Chain);
    if (rule) {
      const { family, table, expr } = rule as { family: string; table: string; expr: unknown };
      ruleset.rules.push({ table: `${family} ${table}`, text: JSON.stringify(expr) });
    }
  }
  return ruleset;
}

/**
 * A chain on the forward hook that drops by default stops us, unless some rule beside ours
 * names the bridge: then somebody has let it through already.
 */
export function judgeRuleset(
  { chains, rules }: Ruleset,
  { bridge, table }: { bridge: string; table: string },
): Firewall | undefined {
  const own = `inet ${table}`;
  if (rules.some((rule) => rule.table !== own && rule.text.includes(`"${bridge}"`)))
    return undefined;
  const has = (name: string): boolean => chains.some((chain) => chain.name === name);
  for (const chain of chains) {
    const place = `${chain.family} ${chain.table}`;
    if (chain.hook !== "forward" || place === own || !/^(ip|inet)$/.test(chain.family)) continue;
    // Its chain accepts by policy and rejects with its last rule.
    const isFirewalld = chain.table === "firewalld" && chain.name === "filter_FORWARD";
    if (chain.policy !== "drop" && !isFirewalld) continue;
    const name = isFirewalld
      ? "firewalld"
      : has("ufw-user-forward")
        ? "ufw"
        : has("DOCKER-USER")
          ? "docker"
          : "unknown";
    return { name, place: `chain "${chain.name}" of table "${place}"`, fix: fixOf(name, bridge) };
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

function fixOf(name: FirewallName, bridge: string): string {
  switch (name) {
    case "docker":
      return acceptIn("DOCKER-USER", bridge);
    case "firewalld":
      return `sudo firewall-cmd --permanent --zone=trusted --add-interface=${bridge} && sudo firewall-cmd --reload`;
    case "ufw":
      return `sudo ufw route allow in on ${bridge}`;
    case "unknown":
      return acceptIn("FORWARD", bridge);
  }
}

function acceptIn(chain: string, bridge: string): string {
  const back = "-m conntrack --ctstate RELATED,ESTABLISHED";
  return `sudo iptables -I ${chain} -i ${bridge} -j ACCEPT && sudo iptables -I ${chain} -o ${bridge} ${back} -j ACCEPT`;
}
