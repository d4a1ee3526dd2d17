/** Repositories of our own: bare, without hooks, filters or any configuration of the user's or the guest's. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Config } from "./config.ts";
import type { Git } from "./git.ts";
import type { Repository } from "./source.ts";

export interface ScratchOptions {
  hash: "sha1" | "sha256";
  /** Object directories that are looked into as well. */
  alternates: readonly string[];
  config?: Config | undefined;
  signal?: AbortSignal | undefined;
}

export function makeScratch(folder: string, options: ScratchOptions): Git {
  const { hash, alternates, config = [], signal } = options;
  for (const name of ["objects/info", "objects/pack", "refs/heads"]) {
    mkdirSync(join(folder, name), { recursive: true, mode: 0o700 });
  }
  const format = hash === "sha256" ? "1\n[extensions]\n\tobjectformat = sha256" : "0";
  writeFileSync(join(folder, "HEAD"), "ref: refs/heads/none\n");
  writeFileSync(
    join(folder, "config"),
    `[core]\n\tbare = false\n\trepositoryformatversion = ${format}\n`,
  );
  const lines = alternates.map((path) => `${path}\n`);
  writeFileSync(join(folder, "objects/info/alternates"), lines.join(""));
  return { gitDir: folder, isScratch: true, config, signal };
}

/** Undefined without a repository. */
export function objectsOf(repository: Repository | undefined): string[] {
  return repository ? [join(repository.commonDir, "objects")] : [];
}
