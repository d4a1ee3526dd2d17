/** A macro that the bundler runs: embeds the files of recipes/images. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const top = join(import.meta.dir, "../../recipes/images");

/** The script that installs base packages in an image of a supported distribution. */
export function readBaseScript(): string {
  return readFileSync(join(top, "base/install.sh"), "utf8");
}

/** Dockerfiles by the name of their directory. */
export function readRecipes(): Record<string, string> {
  const names = readdirSync(top)
    .filter((name) => existsSync(join(top, name, "Dockerfile")))
    .sort();
  return Object.fromEntries(
    names.map((name) => [name, readFileSync(join(top, name, "Dockerfile"), "utf8")]),
  );
}
