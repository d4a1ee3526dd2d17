/** Copies host programs with their shared libraries into guests. */
import { existsSync, readFileSync, realpathSync } from "node:fs";
import { runOk, which } from "#base/run.ts";
import type { TarEntry } from "./busybox.ts";

/** Entries of a layer with the programs in /tools, and their libraries at their own places. */
export async function hostPrograms(...names: string[]): Promise<TarEntry[]> {
  const files = new Map<string, string>();
  for (const name of names) {
    const path = which(name);
    if (path === undefined) throw new Error(`There is no ${name} here`);
    files.set(`tools/${name}`, path);
    const libraries = await runOk(["ldd", path]);
    for (const [, library = ""] of libraries.matchAll(/(?:=> |^\s*)(\/\S+) \(/gm))
      files.set(library.slice(1), library);
  }
  return [...files]
    .filter(([, path]) => existsSync(path))
    .map(([place, path]) => ({
      name: place,
      mode: 0o755,
      body: new Uint8Array(readFileSync(realpathSync(path))),
    }));
}
