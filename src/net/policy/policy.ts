/** A machine's egress policy: names and address blocks to allow or deny, in order, each with or without a port. */
import { BangerError } from "#base/error.ts";
import {
  addressOf,
  bitsOf,
  type Cidr,
  contains,
  familyOf,
  joinCidr,
  parseCidr,
  prefixOf,
  tryParseAddress,
} from "#net/address.ts";
import { METADATA_BLOCKS } from "#net/blocks.ts";
import { ZONE } from "#net/dns/zone.ts";
import type { NetworkMode } from "#net/mode.ts";
import { profileRules } from "./profiles.ts";

export const MAX_RULES = 64;
const MAX_RULE_LENGTH = 300;
const MAX_NAME_LENGTH = 253;
const PORT_MAX = 65_535;
const WEB_PORTS: ReadonlySet<number> = new Set([80, 443]);

/**
 * The first rule that matches decides; what none matches is denied. No rules, nothing at all. Without a policy a
 * machine may reach all.
 */
export interface Policy {
  rules: readonly PolicyRule[];
  /** What no rule matches is held until the user has been asked. */
  isAsking?: boolean;
  /** Hosts of the machine's secrets: all its TCP passes the proxy, also what a rule by address allows. */
  secretHosts?: readonly string[];
}

export interface PolicyRule {
  /** As the user wrote it. */
  text: string;
  /** Default: allow. */
  isDeny?: true;
  target: PolicyTarget;
  /** For an address TCP and UDP; without it every protocol. For a name TCP; without it TLS and HTTP on any port. */
  port?: number | undefined;
  /** "NAME:PORT/udp": datagrams to the addresses of a name, which no proxy sees. */
  isUdp?: true;
}

export type PolicyTarget =
  | { kind: "block"; block: Cidr }
  /** `isSuffix`: what ends in it ("*.example.com"), and not the name itself. */
  | { kind: "name"; name: string; isSuffix: boolean };

/**
 * Takes rules as in `--allow HOST|CIDR[:PORT]`: "example.com", "*.example.com:443", "192.0.2.7",
 * "192.0.2.0/24:80", "[2001:db8::7]:443", "pool.example.com:123/udp"; with "deny " in front what is denied, and
 * "@NAME" for the rules of a profile. An empty list denies everything. Errors: `invalid_argument`,
 * `limit_exceeded`.
 */
export function parsePolicy(
  allow: readonly string[],
  { isAsking, secretHosts }: Omit<Policy, "rules"> = {},
): Policy {
  if (allow.length > MAX_RULES) {
    throw new BangerError(
      "limit_exceeded",
      `too many policy rules: ${allow.length}, at most ${MAX_RULES}`,
      { hint: "Combine addresses into CIDR blocks, and names into *.domain" },
    );
  }
  return {
    rules: allow.flatMap(parseRules),
    ...(isAsking ? { isAsking } : {}),
    ...(secretHosts?.length ? { secretHosts } : {}),
  };
}

/**
 * The rules as they are kept: each once. Errors as `parsePolicy`, and `unsupported` in a mode
 * where machines have no tap of their own.
 */
export function checkPolicy(allow: readonly string[], mode: NetworkMode): string[] {
  parsePolicy(allow);
  if (mode === "nat" || mode === "host") return [...new Set(allow.map((text) => text.trim()))];
  throw new BangerError("unsupported", `Cannot set a policy on a machine with --net ${mode}`, {
    hint: "Use --net nat or --net host",
  });
}

export function matchesName(target: PolicyTarget, name: string): boolean {
  if (target.kind !== "name") return false;
  return target.isSuffix ? name.endsWith(`.${target.name}`) : name === target.name;
}

/** Whether a machine may look a name up: some rule may let it connect there, or to all addresses. */
export function judgeName({ rules, isAsking }: Policy, name: string): "allow" | "deny" | "ask" {
  for (const { target, isDeny, port } of rules) {
    if (!matchesName(target, name) && !isAnywhere(target)) continue;
    // Other ports of the name may be allowed by a later rule.
    if (isDeny && port !== undefined) continue;
    return isDeny ? "deny" : "allow";
  }
  return isAsking ? "ask" : "deny";
}

/** Whether TCP connections of the machine have to be judged by what they carry, which the kernel cannot do. */
export function needsProxy({ rules, isAsking, secretHosts }: Policy): boolean {
  return Boolean(isAsking || secretHosts) || rules.some(isTcpName);
}

/** A rule that only the proxy can apply. */
export function isTcpName({ target, isUdp }: PolicyRule): boolean {
  return target.kind === "name" && !isUdp;
}

function isAnywhere(target: PolicyTarget): boolean {
  return target.kind === "block" && prefixOf(target.block) === 0;
}

/** Whether a rule is about addresses that no machine can reach unless allowed. */
export function opensMetadata({ rules }: Policy): boolean {
  return rules.some(
    ({ target, isDeny }) =>
      !isDeny &&
      target.kind === "block" &&
      METADATA_BLOCKS.some(
        (block) =>
          prefixOf(target.block) >= prefixOf(block) && contains(block, addressOf(target.block)),
      ),
  );
}

/** `unavailable` for a policy that needs our DNS server or the proxy where they are not to be had. */
export function assertEnforceable(
  policy: Policy,
  { isOwn, hasProxy }: { isOwn: boolean; hasProxy: boolean },
): void {
  const rule = policy.rules.find(({ target }) => target.kind === "name");
  const what = rule ? `"${rule.text}"` : policy.isAsking ? "--ask" : undefined;
  if (what && !isOwn) {
    throw new BangerError(
      "unavailable",
      `Cannot use ${what} in a policy: rules by name need banger's DNS server, whose port on the bridge is in use`,
      { hint: "Find the process with: sudo ss -lunp 'sport = :53'; or allow addresses instead" },
    );
  }
  if (!needsProxy(policy) || hasProxy) return;
  throw new BangerError(
    "unavailable",
    `Cannot use ${what ?? "secrets"}: this process has no proxy for the machines' connections`,
    { hint: "Allow addresses instead, or use a machine of the daemon" },
  );
}

/** A profile is several rules under its name. */
function parseRules(text: string): PolicyRule[] {
  const trimmed = text.trim();
  if (!trimmed.startsWith("@")) return [parseRule(text)];
  return profileRules(trimmed.slice(1)).map((rule) => ({ ...parseRule(rule), text: trimmed }));
}

function parseRule(text: string): PolicyRule {
  if (text.length > MAX_RULE_LENGTH) throw wrong(text.slice(0, MAX_RULE_LENGTH));
  const whole = text.trim();
  const isDeny = /^deny\s+/.test(whole);
  const [, bare = "", udp] = /^(.*?)(\/udp)?$/.exec(whole.replace(/^deny\s+/, "")) ?? [];
  const { where, port: portText } = splitRule(bare);
  const port = portText === undefined ? undefined : Number(portText);
  const target = parseTarget(where);
  if (!target || (port !== undefined && (port < 1 || port > PORT_MAX))) throw wrong(text);
  const isUdp = udp !== undefined;
  if (isUdp && (target.kind !== "name" || port === undefined)) throw wrong(text);
  if (isUdp && WEB_PORTS.has(port ?? 0)) throw quic(text);
  return {
    text: whole,
    ...(isDeny ? { isDeny } : {}),
    target,
    port,
    ...(isUdp ? { isUdp } : {}),
  };
}
/** Brackets, or the number of colons, distinguish an IPv6 address from a port. */
function splitRule(text: string): { where: string; port?: string | undefined } {
  const [, inside, , bracketPort] = /^\[([^\]]+:[^\]]*)\](:(\d{1,5}))?$/.exec(text) ?? [];
  if (inside) return { where: inside, port: bracketPort };
  if (/^[^[\]]*:[^[\]]*:/.test(text)) return { where: text };
  const [, where = "", port] = /^([^:]+?)(?::(\d{1,5}))?$/.exec(text) ?? [];
  return { where, port };
}

function parseTarget(text: string): PolicyTarget | undefined {
  if (text.includes("/")) return { kind: "block", block: parseCidr(text) };
  const address = tryParseAddress(text);
  if (address) return { kind: "block", block: joinCidr(address, bitsOf(familyOf(address))) };
  const isSuffix = text.startsWith("*.");
  const name = (isSuffix ? text.slice(2) : text).toLowerCase().replace(/\.$/, "");
  const labels = name.split(".");
  const isName = labels.every((label) => /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/.test(label));
  // A last label of digits is an address with something missing.
  if (!isName || name.length > MAX_NAME_LENGTH || /^\d+$/.test(labels.at(-1) ?? "")) return;
  if (labels.at(-1) === ZONE) throw machineName(text);
  return { kind: "name", name, isSuffix };
}

function wrong(text: string): BangerError {
  return new BangerError("invalid_argument", `invalid policy rule "${text}"`, {
    hint: 'Use a name, "*.domain", an address or a CIDR block, with an optional port: "example.com:443"',
  });
}

function quic(text: string): BangerError {
  return new BangerError(
    "invalid_argument",
    `Cannot allow "${text}": QUIC hides which name it is for`,
    { hint: "Allow the name over TCP, without /udp; programs fall back to it" },
  );
}

function machineName(text: string): BangerError {
  return new BangerError(
    "invalid_argument",
    `Cannot allow "${text}": policies do not apply to traffic between machines`,
    { hint: "Connect both machines to a named network: banger network connect" },
  );
}
