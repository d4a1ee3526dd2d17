/**
 * Tests that need what not every machine has. `testNeeding("root")` is `test` where it is
 * there, and a skipped test that says so where it is not; scripts/test.ts lets no test skip
 * in CI for want of something that CI installs.
 */
import { test } from "bun:test";

const PATH = `${process.env["PATH"]}:/usr/local/sbin:/usr/sbin:/sbin`;

/** "root", or the name of a program. */
export type Need = string;

export function testNeeding(...needs: Need[]) {
  const missing = needs.filter((need) => !isThere(need));
  return (name: string, body: () => void | Promise<void>, timeout_ms?: number) =>
    test.skipIf(missing.length > 0)(
      missing.length > 0 ? `${name} [needs ${missing.join(", ")}]` : name,
      body,
      timeout_ms,
    );
}

function isThere(need: Need): boolean {
  if (need === "root") return process.getuid?.() === 0;
  return Bun.which(need, { PATH }) !== null;
}
