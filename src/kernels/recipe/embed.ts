/**
 * A macro that the bundler runs: embeds the files of recipes/kernels, so that a new recipe or feature is only a file
 * there.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

export interface RecipeTexts {
  /** Maps file names without ".toml" to contents. */
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
