/** Which banger this is: stamped by the build, or read from package.json where it runs from source. */
import { readFileSync } from "node:fs";
import { join } from "node:path";

// Replaced with string literals by the build's --define.
declare const BANGER_VERSION: string | undefined;
declare const BANGER_COMMIT: string | undefined;
declare const BANGER_BUILT_AT: string | undefined;

export const version = {
  version: typeof BANGER_VERSION === "string" ? BANGER_VERSION : sourceVersion(),
  /** A git commit, or "dev". */
  commit: typeof BANGER_COMMIT === "string" ? BANGER_COMMIT : "dev",
  /** ISO 8601, or "dev". */
  builtAt: typeof BANGER_BUILT_AT === "string" ? BANGER_BUILT_AT : "dev",
};

function sourceVersion(): string {
  const manifest: unknown = JSON.parse(
    readFileSync(join(import.meta.dir, "..", "..", "package.json"), "utf8"),
  );
  if (typeof manifest !== "object" || manifest === null || !("version" in manifest)) return "0.0.0";
  return String(manifest.version);
}
