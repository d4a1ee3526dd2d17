/** Macros that the bundler runs: a new tool or agent is only a file in recipes/tooling or recipes/agents. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const top = join(import.meta.dir, "../../recipes");

/** Maps names without ".toml" to TOML texts. */
export function readToolRecipes(): Record<string, string> {
  return readToml(join(top, "tooling"));
}

export function readAgentRecipes(): Record<string, string> {
  return readToml(join(top, "agents"));
}

/** Sorted. */
export function readAgentNames(): string[] {
  return Object.keys(readAgentRecipes());
}

function readToml(folder: string): Record<string, string> {
  const names = readdirSync(folder).filter((name) => name.endsWith(".toml"));
  return Object.fromEntries(
    names
      .sort()
      .map((name) => [name.slice(0, -".toml".length), readFileSync(join(folder, name), "utf8")]),
  );
}
