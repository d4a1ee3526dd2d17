/**
 * Run by the bundler, not by the program: its result is what stands in the program. So a new
 * recipe or feature is a file in recipes/kernels and nothing else.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

export interface RecipeTexts {
  /** File name without ".toml" to content. */
  recipes: Record<string, string>;
  features: Record<string, string>;
}

export function readRecipeFolder(): RecipeTexts {
  const top = join(import.meta.dir, "../../../recipes/kernels");
  return { recipes: readToml(top), features: readToml(join(top, "features")) };
}

function readToml(folder: string): Record<string, string> {
  const names = readdirSync(folder).filter((name) => name.endsWith(".toml"));
  return Object.fromEntries(
    names
      .sort()
      .map((name) => [name.slice(0, -".toml".length), readFileSync(join(folder, name), "utf8")]),
  );
}
