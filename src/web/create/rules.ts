/** The egress policy of a new machine: from the form, as words of the command line, and in words. */
import type { Policy } from "#api/network.ts";
import { wordsOf } from "#web/parts/words.ts";

/** As typed. */
export interface PolicyForm {
  /** Names, without "@". */
  profiles: readonly string[];
  /** Destinations, separated by blanks or line ends. */
  allow: string;
  deny: string;
  ask: boolean;
  /** Whether all is denied that nothing allows, also if nothing is allowed. */
  denyAll: boolean;
}

export const NO_POLICY: PolicyForm = {
  profiles: [],
  allow: "",
  deny: "",
  ask: false,
  denyAll: false,
};

const DENY = "deny ";
const PROFILE = "@";
/** What is allowed where only something else is denied. */
const EVERYTHING: readonly string[] = ["0.0.0.0/0", "::/0"];

/** Denied destinations, then allowed ones, then profiles: the order that the command line gives them. */
export function policyOf({ profiles, allow, deny, ask, denyAll }: PolicyForm): {
  policy?: Policy;
  problem?: "allow" | "deny";
} {
  const typed = wordsOf(allow);
  const denied = wordsOf(deny);
  // "deny example.com" would allow it.
  if (typed.includes("deny")) return { problem: "allow" };
  if (denied.some((rule) => rule === "deny" || rule.startsWith(PROFILE))) {
    return { problem: "deny" };
  }
  const named = typed.filter((rule) => rule.startsWith(PROFILE));
  const allowed = [
    ...typed.filter((rule) => !rule.startsWith(PROFILE)),
    ...new Set([...profiles.map((name) => PROFILE + name), ...named]),
  ];
  if (denied.length + allowed.length === 0 && !denyAll && !ask) return {};
  const isOpen = allowed.length === 0 && !denyAll && !ask;
  const rules = [...denied.map((rule) => DENY + rule), ...allowed, ...(isOpen ? EVERYTHING : [])];
  return { policy: { allow: rules, ...(ask ? { ask } : {}) } };
}

export function policyWords({ allow, ask = false }: Policy): string[] {
  const denied = allow.filter((rule) => rule.startsWith(DENY));
  const profiles = allow.filter((rule) => rule.startsWith(PROFILE));
  const allowed = allow.filter((rule) => !denied.includes(rule) && !profiles.includes(rule));
  const isOpen = isOpenPolicy({ allow, ask });
  return [
    ...denied.flatMap((rule) => ["--deny", rule.slice(DENY.length)]),
    ...(isOpen ? [] : allowed).flatMap((rule) => ["--allow", rule]),
    ...(profiles.length > 0
      ? ["--policy", profiles.map((rule) => rule.slice(PROFILE.length)).join(",")]
      : []),
    ...(ask ? ["--ask"] : []),
    ...(allowed.length + profiles.length === 0 && !ask ? ["--deny-all"] : []),
  ];
}

/** What becomes of a connection. */
export function policySentence(policy: Policy | undefined): string {
  if (!policy) return "No policy: all destinations are allowed.";
  if (isOpenPolicy(policy)) return "All other destinations are allowed.";
  if (policy.ask) return "You are asked about all other destinations.";
  const isClosed = policy.allow.every((rule) => rule.startsWith(DENY));
  return isClosed ? "All outbound traffic is denied." : "All other destinations are denied.";
}

function isOpenPolicy({ allow, ask = false }: Policy): boolean {
  const others = allow.filter((rule) => !rule.startsWith(DENY));
  const isEverything = others.join(" ") === EVERYTHING.join(" ");
  return isEverything && others.length < allow.length && !ask;
}
