/** Run by the bundler, not by the program: the Dockerfiles in recipes/images, by the name of their folder. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

export function readRecipes(): Record<string, string> {
  const top = join(import.meta.dir, "../../recipes/images");
  const names = readdirSync(top).sort();
  return Object.fromEntries(
    names.map((name) => [name, readFileSync(join(top, name, "Dockerfile"), "utf8")]),
  );
}
