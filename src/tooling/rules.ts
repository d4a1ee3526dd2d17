/** How each tool is installed: the TOML files of recipes/tooling. */
import { parse as parseToml } from "smol-toml";
import { z } from "zod";
import { readToolRecipes } from "./embed.ts" with { type: "macro" };

/** Distributions by their package managers. */
export const FAMILIES = ["debian", "alpine", "fedora", "arch", "opensuse"] as const;
export type Family = (typeof FAMILIES)[number];

const packageSchema = z.string().regex(/^[a-z0-9][a-z0-9.+_-]*(\$MAJOR[a-z0-9.+_-]*)?$/i);
const packagesSchema = z.record(z.enum(FAMILIES), z.array(packageSchema).min(1));

const ruleSchema = z.strictObject({
  about: z.string(),
  /** Other names, as .tool-versions of asdf and mise has them. */
  aliases: z.array(z.string()).default([]),
  /** A program that is there if the tool is. */
  command: z.string().regex(/^[a-z0-9]+$/),
  /** The policy profile with the hosts of its dependencies. */
  policy: z.string().optional(),
  /** Tools that must be there before this one. */
  requires: z.array(z.string()).default([]),
  packages: packagesSchema.optional(),
  /** In place of `packages` if the project asks for a version; "$MAJOR" is its first number. */
  pinned: packagesSchema.optional(),
  /** A shell script, for a tool that no package has. */
  install: z.string().optional(),
  version: z
    .strictObject({
      /** A command whose output has the installed version. */
      show: z.string(),
      /** A shell script that installs "$VERSION" if the package is of another version. */
      install: z.string().optional(),
    })
    .optional(),
});
export type Rule = z.infer<typeof ruleSchema> & { name: string };

const texts: Record<string, string> = readToolRecipes();

let parsed: Map<string, Rule> | undefined;

/** All rules by name. They are parsed when they are first needed. */
export function toolRules(): ReadonlyMap<string, Rule> {
  parsed ??= new Map(
    Object.entries(texts).map(([name, text]) => [
      name,
      { name, ...ruleSchema.parse(parseToml(text)) },
    ]),
  );
  return parsed;
}

/** The rule of a tool by its name or another of its names. */
export function findRule(name: string): Rule | undefined {
  const rules = toolRules();
  return rules.get(name) ?? [...rules.values()].find(({ aliases }) => aliases.includes(name));
}
