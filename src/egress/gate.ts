/** Decides whether a machine's TCP connection may go where it wants to. No I/O. */
import { type Address, contains, familyOf } from "#net/address.ts";
import { mayBeNamed } from "#net/blocks.ts";
import { isTcpName, matchesName, type Policy, type PolicyRule } from "#net/policy/policy.ts";

export type Carried = "tls" | "http" | "other";

export interface Wish {
  /** What TLS's SNI or HTTP's Host says, or for other protocols what the machine has looked up. */
  name?: string | undefined;
  /** Where the machine connects to; a placeholder stands for no address. */
  address: Address;
  port: number;
  carried: Carried;
  /** Whether our DNS server has answered this machine with this address for the name. */
  isAnswered: boolean;
  /** Whether the address stands for a name that is still to be resolved. */
  isPlaceholder?: boolean;
}

export interface Verdict {
  /** "ask": no rule matches, and the user decides. */
  verdict: "allow" | "deny" | "ask";
  /** The rule that has decided. */
  rule?: string;
  reason: string;
}

/** Ports whose programs speak HTTP or TLS: a rule for them is no rule for anything else. */
const WEB_PORTS: ReadonlySet<number> = new Set([80, 443]);

/** `own`: the host's addresses. */
export function judge(policy: Policy, wish: Wish, own: ReadonlySet<Address>): Verdict {
  let reason = "no rule allows it";
  for (const rule of policy.rules) {
    if (rule.isUdp || (rule.port !== undefined && rule.port !== wish.port)) continue;
    const { text, target, isDeny } = rule;
    const verdict = isDeny ? ("deny" as const) : ("allow" as const);
    if (target.kind === "block") {
      if (wish.isPlaceholder || !isIn(rule, wish.address)) continue;
      return { verdict, rule: text, reason: `rule "${text}"` };
    }
    if (wish.name === undefined || !matchesName(target, wish.name)) continue;
    const missing = isDeny ? undefined : missingFor(rule, wish, own);
    if (missing === undefined) return { verdict, rule: text, reason: `rule "${text}"` };
    reason = missing;
  }
  if (policy.isAsking && mayBeAsked(wish, own)) return { verdict: "ask", reason };
  return { verdict: "deny", reason };
}

/** Whether a rule by name is about this connection, so that it has to be read before it can be judged. */
export function isNameNeeded(policy: Policy, { address, port }: Wish): boolean {
  for (const rule of policy.rules) {
    if (rule.isUdp || (rule.port !== undefined && rule.port !== port)) continue;
    if (isTcpName(rule)) return true;
    if (isIn(rule, address)) return false;
  }
  return Boolean(policy.isAsking);
}

/** What a rule by name still lacks; undefined when it is met. */
function missingFor({ text, port }: PolicyRule, wish: Wish, own: ReadonlySet<Address>) {
  const { carried, isAnswered, address, isPlaceholder } = wish;
  if (carried === "other" && (port === undefined || WEB_PORTS.has(port))) {
    return `neither TLS nor HTTP, for which rule "${text}" would have to name the port`;
  }
  if (!isAnswered) return "DNS has not given the machine this address for the name";
  if (!isPlaceholder && !mayBeNamed(address, own)) {
    return "a name does not open private addresses or the host's own";
  }
  return undefined;
}

/** Not for what a user could only allow by address, on purpose. */
function mayBeAsked({ address, isPlaceholder, name, isAnswered }: Wish, own: ReadonlySet<Address>) {
  if (isPlaceholder) return true;
  return mayBeNamed(address, own) && (name === undefined || isAnswered);
}

function isIn({ target }: PolicyRule, address: Address): boolean {
  return (
    target.kind === "block" &&
    familyOf(target.block) === familyOf(address) &&
    contains(target.block, address)
  );
}
