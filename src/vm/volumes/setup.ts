/** What the guest has still to set up after a boot, kept until it is done: the daemon may end before. */
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { writeFileAtomic } from "#base/files/atomic.ts";
import type { Agent } from "#guest/agent.ts";

/** Words for the agent, which earlier daemons have kept alone, or the index of a share that is mounted by FUSE. */
const part = z.union([z.array(z.string()), z.object({ share: z.int() })]);
export type SetupPart = z.infer<typeof part>;
const kept = z.union([z.array(part), z.array(z.string()).transform((words) => [words])]);

export function keepSetup(runtimeDir: string, parts: readonly SetupPart[]): void {
  if (parts.length === 0) return;
  writeFileAtomic(setupPath(runtimeDir), JSON.stringify(parts), { isTransient: true });
}

/** Nothing if it was done. `guest`, with what failed and why. */
export async function setUp(
  agent: Agent,
  runtimeDir: string,
  {
    signal,
    mountShare,
  }: { signal: AbortSignal | undefined; mountShare: (index: number) => Promise<void> },
): Promise<void> {
  const path = setupPath(runtimeDir);
  if (!existsSync(path)) return;
  for (const each of kept.parse(JSON.parse(readFileSync(path, "utf8")))) {
    if ("share" in each) await mountShare(each.share);
    else await agent.setUp(each, { signal });
  }
  rmSync(path, { force: true });
}

function setupPath(runtimeDir: string): string {
  return join(runtimeDir, "setup");
}
