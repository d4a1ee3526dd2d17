/** Programs of this computer for machines that have none: each with the libraries that it loads. */
import { existsSync, readFileSync, realpathSync } from "node:fs";
import { runOk, which } from "#base/run.ts";
import type { TarEntry } from "./busybox.ts";

/** Entries of a layer with the programs at their own places. */
export async function hostPrograms(...names: string[]): Promise<TarEntry[]> {
  const files = new Set<string>();
  for (const name of names) {
    const path = which(name);
    if (path === undefined) throw new Error(`There is no ${name} here`);
    files.add(path);
    const libraries = await runOk(["ldd", path]);
    for (const [, library = ""] of libraries.matchAll(/(?:=> |^\s*)(\/\S+) \(/gm))
      files.add(library);
  }
  return [...files]
    .filter((path) => existsSync(path))
    .map((path) => ({
      name: path.slice(1),
      mode: 0o755,
      body: new Uint8Array(readFileSync(realpathSync(path))),
    }));
}
