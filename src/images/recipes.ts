/** The embedded image recipes, which are Dockerfiles. */
import { BangerError } from "#base/error.ts";
import { readBaseScript, readRecipes } from "./recipe-files.ts" with { type: "macro" };

const recipes: Record<string, string> = readRecipes();

/** The default script of a build from an image. */
export const baseScript = { name: "base packages", text: readBaseScript() };

/** The text of a recipe's Dockerfile. `not_found`. */
export function readRecipe(name: string): string {
  const text = Object.hasOwn(recipes, name) ? recipes[name] : undefined;
  if (text !== undefined) return text;
  throw new BangerError("not_found", `no such recipe "${name}"`, {
    hint: `Available recipes: ${Object.keys(recipes).join(", ")}`,
  });
}
