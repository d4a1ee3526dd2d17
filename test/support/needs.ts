/**
 * Tests with requirements that not every host meets: `testNeeding("root")` is `test` where they are met, else a
 * skipped test that names them. scripts/test.ts allows no skip in CI for something that CI installs.
 */
import { setDefaultTimeout, test } from "bun:test";
import { existsSync } from "node:fs";
import { LIMIT_MS } from "./limit.ts";

const PATH = `${process.env["PATH"]}:/usr/local/sbin:/usr/sbin:/sbin`;

/** "root", the name of a program, or the path of a device. */
export type Need = string;

export function testNeeding(...needs: Need[]) {
  const missing = needs.filter((need) => !isThere(need));
  // Of several files in one run only the first has the default of default-limit.ts; its hooks have it as well.
  setDefaultTimeout(LIMIT_MS);
  return (name: string, body: () => void | Promise<void>, timeout_ms = LIMIT_MS) =>
    test.skipIf(missing.length > 0)(
      missing.length > 0 ? `${name} [needs ${missing.join(", ")}]` : name,
      body,
      timeout_ms,
    );
}

function isThere(need: Need): boolean {
  if (need === "root") return process.getuid?.() === 0;
  if (need.startsWith("/")) return existsSync(need);
  return Bun.which(need, { PATH }) !== null;
}
