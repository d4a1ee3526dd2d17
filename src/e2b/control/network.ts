/** Translates E2B's egress rules into a machine's policy, which has allow rules only. */
import { z } from "zod";
import type { Policy } from "#api/network.ts";
import { notServed } from "#e2b/errors.ts";
import { type NetworkConfig, networkConfig } from "#e2b/record.ts";

const EVERYTHING = new Set(["0.0.0.0/0", "::/0"]);

export const networkUpdate = networkConfig.extend({
  allow_internet_access: z.boolean().nullish(),
  rules: z.record(z.string(), z.unknown()).nullish(),
  egressProxy: z.unknown().nullish(),
});

export const networkCreate = networkUpdate.omit({ allow_internet_access: true }).extend({
  allowPublicTraffic: z.boolean().nullish(),
  maskRequestHost: z.string().nullish(),
  httpsPorts: z.array(z.number()).nullish(),
});

export function assertServed(wanted: z.infer<typeof networkCreate>): void {
  if (Object.keys(wanted.rules ?? {}).length > 0) throw notServed("network rules with transforms");
  if (wanted.egressProxy) throw notServed("an egress proxy");
  if (wanted.maskRequestHost) throw notServed("network.maskRequestHost");
  if (wanted.httpsPorts?.length) throw notServed("network.httpsPorts");
}

/** Undefined: nothing is denied. A rule that allows wins over one that denies, as with E2B. */
export function policyFor(
  { allowOut = [], denyOut = [] }: NetworkConfig,
  internet: boolean | null | undefined,
): Policy | undefined {
  if (allowOut.some((each) => EVERYTHING.has(each))) return undefined;
  if (internet !== false && denyOut.length === 0) return undefined;
  if (internet !== false && !denyOut.some((each) => EVERYTHING.has(each))) {
    throw notServed("denyOut without 0.0.0.0/0: deny everything, and allow what is needed");
  }
  return { allow: allowOut };
}
