/** A machine's egress policy: names and address blocks, each with or without a port. */
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

export const MAX_RULES = 64;
const MAX_RULE_LENGTH = 300;
const MAX_NAME_LENGTH = 253;
const PORT_MAX = 65_535;

/** Nothing but what a rule allows; no rules, nothing at all. Without a policy a machine may reach all. */
export interface Policy {
  rules: readonly PolicyRule[];
}

export interface PolicyRule {
  /** As the user wrote it. */
  text: string;
  target: PolicyTarget;
  /** TCP and UDP; without it every protocol. */
  port?: number | undefined;
}

export type PolicyTarget =
  | { kind: "block"; block: Cidr }
  /** `isSuffix`: what ends in it ("*.example.com"), and not the name itself. */
  | { kind: "name"; name: string; isSuffix: boolean };

/**
 * Takes rules as in `--allow HOST|CIDR[:PORT]`: "example.com", "*.example.com:443", "192.0.2.7",
 * "192.0.2.0/24:80", "[2001:db8::7]:443". An empty list denies everything. Errors: `invalid_argument`,
 * `limit_exceeded`.
 */
export function parsePolicy(allow: readonly string[]): Policy {
  if (allow.length > MAX_RULES) {
    throw new BangerError(
      "limit_exceeded",
      `too many policy rules: ${allow.length}, at most ${MAX_RULES}`,
      { hint: "Combine addresses into CIDR blocks, and names into *.domain" },
    );
  }
  return { rules: allow.map(parseRule) };
}

/**
 * The rules as they are kept: each once. Errors as `parsePolicy`, and `unsupported` in a mode
 * where machines have no tap of their own.
 */
export function checkPolicy(allow: readonly string[], mode: NetworkMode): string[] {
  const { rules } = parsePolicy(allow);
  if (mode === "nat" || mode === "host") return [...new Set(rules.map(({ text }) => text))];
  throw new BangerError("unsupported", `Cannot set a policy on a machine with --net ${mode}`, {
    hint: "Use --net nat or --net host",
  });
}

export function matchesName(target: PolicyTarget, name: string): boolean {
  if (target.kind !== "name") return false;
  return target.isSuffix ? name.endsWith(`.${target.name}`) : name === target.name;
}

/** Whether the machine may ask for any name: it may reach addresses whatever their name. */
export function allowsAnyName({ rules }: Policy): boolean {
  return rules.some(({ target }) => target.kind === "block" && prefixOf(target.block) === 0);
}

/** Whether a rule is about addresses that no machine can reach unless allowed. */
export function opensMetadata({ rules }: Policy): boolean {
  return rules.some(
    ({ target }) =>
      target.kind === "block" &&
      METADATA_BLOCKS.some(
        (block) =>
          prefixOf(target.block) >= prefixOf(block) && contains(block, addressOf(target.block)),
      ),
  );
}

/** `unavailable` for names in a policy if no DNS server here would learn their addresses. */
export function assertEnforceable({ rules }: Policy, { isOwn }: { isOwn: boolean }): void {
  const rule = rules.find(({ target }) => target.kind === "name");
  if (!rule || isOwn) return;
  throw new BangerError(
    "unavailable",
    `Cannot allow "${rule.text}": rules by name need banger's DNS server, whose port on the bridge is in use`,
    { hint: "Find the process with: sudo ss -lunp 'sport = :53'; or allow addresses instead" },
  );
}

function parseRule(text: string): PolicyRule {
  if (text.length > MAX_RULE_LENGTH) throw wrong(text.slice(0, MAX_RULE_LENGTH));
  const { where, port: portText } = splitRule(text.trim());
  const port = portText === undefined ? undefined : Number(portText);
  const target = parseTarget(where);
  if (!target || (port !== undefined && (port < 1 || port > PORT_MAX))) throw wrong(text);
  return { text: text.trim(), target, port };
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

function machineName(text: string): BangerError {
  return new BangerError(
    "invalid_argument",
    `Cannot allow "${text}": policies do not apply to traffic between machines`,
    { hint: "Connect both machines to a named network: banger network connect" },
  );
}
