/** Named sets of rules, as data: what a package manager or a forge needs. */
import { z } from "zod";
import { BangerError } from "#base/error.ts";
import data from "./profiles.json" with { type: "json" };

const profile = z.object({ summary: z.string(), rules: z.array(z.string()) });
export type Profile = z.infer<typeof profile> & { name: string };

const profiles = new Map(Object.entries(z.record(z.string(), profile).parse(data)));

export function listProfiles(): Profile[] {
  return [...profiles].map(([name, each]) => ({ name, ...each }));
}

/** `not_found` for a name that no profile has. */
export function profileRules(name: string): readonly string[] {
  const found = profiles.get(name);
  if (found) return found.rules;
  throw new BangerError("not_found", `no such policy profile "${name}"`, {
    hint: "List profiles with: banger policy list",
  });
}
