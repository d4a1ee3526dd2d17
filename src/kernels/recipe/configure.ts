/** Creates a kernel configuration from a recipe's choices, and verifies it. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BangerError } from "#base/error.ts";
import { parseConfig } from "#kernels/features.ts";
import { explainDisabled, readOptions } from "./kconfig.ts";
import { type MakeOptions, make } from "./make.ts";
import { type Choices, fragmentOf } from "./recipe.ts";

/** Number of problems in an error; the log has all of them. */
const MAX_SHOWN = 10;

/**
 * Writes `.config` to `objects`: the recipe's choices, and "n" for all other options. `invalid_argument` lists the
 * options that differ from the recipe, with reasons.
 */
export async function configure(choices: Choices, options: MakeOptions): Promise<string> {
  const fragment = join(options.objects, "recipe.fragment");
  writeFileSync(fragment, fragmentOf(choices));
  const variables = [`KCONFIG_ALLCONFIG=${fragment}`];
  await make("allnoconfig", { ...options, jobs: 1, variables });
  await make("olddefconfig", { ...options, jobs: 1 });
  const config = readFileSync(join(options.objects, ".config"), "utf8");
  const problems = problemsOf(choices, config, options);
  if (problems.length === 0) return config;
  const shown = problems.slice(0, MAX_SHOWN).join("; ");
  const more = problems.length > MAX_SHOWN ? `; and ${problems.length - MAX_SHOWN} more` : "";
  throw new BangerError(
    "invalid_argument",
    `Cannot build the kernel: options of the recipe have no effect: ${shown}${more}`,
    { hint: "Fix the recipe or its features: add the options that these depend on" },
  );
}

function problemsOf(
  { on, off, set }: Choices,
  config: string,
  { tree, toolchain }: MakeOptions,
): string[] {
  const values = parseConfig(config);
  const lookUp = (option: string): string | undefined => values.get(option);
  const missing = on.filter((option) => lookUp(option) !== "y");
  const unwanted = off.filter((option) => ["y", "m"].includes(lookUp(option) ?? ""));
  const different = Array.from(set).filter(
    ([option, value]) => lookUp(option)?.replaceAll('"', "") !== String(value),
  );
  if (missing.length + unwanted.length + different.length === 0) return [];
  const table = readOptions(tree, toolchain.srcArch);
  return [
    ...missing.map((option) => `${option} is off: ${explainDisabled(option, table, lookUp)}`),
    ...unwanted.map((option) => `${option} is on: another option selects it`),
    ...different.map(
      ([option, value]) => `${option} is ${lookUp(option) ?? "not set"}, not ${value}`,
    ),
  ];
}
