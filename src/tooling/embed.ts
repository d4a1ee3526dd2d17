/** A macro that the bundler runs: embeds the files of recipes/tooling, so that a new tool is only a file there. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** Maps the names of tools to TOML texts. */
export function readToolRecipes(): Record<string, string> {
  const top = join(import.meta.dir, "../../recipes/tooling");
  const names = readdirSync(top).filter((name) => name.endsWith(".toml"));
  return Object.fromEntries(
    names
      .sort()
      .map((name) => [name.slice(0, -".toml".length), readFileSync(join(top, name), "utf8")]),
  );
}
