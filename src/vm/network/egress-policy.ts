/** A machine's policy, as its record has it. */
import { BangerError } from "#base/error.ts";
import { type Policy, parsePolicy } from "#net/policy/policy.ts";
import type { VmRecord } from "#vm/records.ts";
import type { VmSpec } from "#vm/spec.ts";

export interface PolicyChange {
  /** At the end; a "deny" rule in front of all others. Each takes the place of its opposite. */
  add?: string[] | undefined;
  remove?: string[] | undefined;
  ask?: boolean | undefined;
}

const DENY = "deny ";
/** What a machine without rules may reach: the proxy carries its TCP all the same where it has secrets. */
const ANYWHERE = ["0.0.0.0/0", "::/0"];

/** Undefined for a machine that may reach everything, and whose connections nobody looks into. */
export function effectivePolicy({ allow, ask, secrets }: VmSpec): Policy | undefined {
  const secretHosts = secrets?.flatMap(({ hosts }) => hosts) ?? [];
  if (!allow && secretHosts.length === 0) return undefined;
  return parsePolicy(allow ?? ANYWHERE, { ...(ask ? { isAsking: true } : {}), secretHosts });
}

/** `invalid_state` for a machine without a policy, `not_found` for a rule that is not there. */
export function changedRules(vm: VmRecord, { add = [], remove = [] }: PolicyChange): string[] {
  const rules = new Set(requirePolicy(vm));
  for (const rule of remove.map((each) => each.trim())) {
    if (rules.delete(rule) || rules.delete(`${DENY}${rule}`)) continue;
    throw new BangerError(
      "not_found",
      `no such rule "${rule}" in the policy of machine "${vm.name}"`,
      {
        hint: `List its rules with: banger vm policy show ${vm.name}`,
      },
    );
  }
  const added = add.map((each) => each.trim());
  for (const rule of added) {
    rules.delete(rule.startsWith(DENY) ? rule.slice(DENY.length).trim() : `${DENY}${rule}`);
  }
  const isDeny = (rule: string): boolean => rule.startsWith(DENY);
  return [...added.filter(isDeny), ...rules, ...added.filter((rule) => !isDeny(rule))];
}

export function requirePolicy({ name, spec }: VmRecord): readonly string[] {
  if (spec.allow) return spec.allow;
  throw new BangerError(
    "invalid_state",
    `Cannot change the policy of "${name}": no policy, all outbound traffic is allowed`,
    { hint: `Set a policy first: banger vm policy set ${name} --deny-all` },
  );
}
