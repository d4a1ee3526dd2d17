/** What the guest has still to set up after a boot, kept until it is done: the daemon may end before. */
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { writeFileAtomic } from "#base/files/atomic.ts";
import type { Agent } from "#guest/agent.ts";

const words = z.array(z.string());

export function keepSetup(runtimeDir: string, steps: readonly string[]): void {
  if (steps.length === 0) return;
  writeFileAtomic(setupPath(runtimeDir), JSON.stringify(steps), { isTransient: true });
}

/** Nothing if it was done. `guest`, with what failed and why. */
export async function setUp(
  agent: Agent,
  runtimeDir: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const path = setupPath(runtimeDir);
  if (!existsSync(path)) return;
  await agent.setUp(words.parse(JSON.parse(readFileSync(path, "utf8"))), { signal });
  rmSync(path, { force: true });
}

function setupPath(runtimeDir: string): string {
  return join(runtimeDir, "setup");
}
