/**
 * Programs that an earlier daemon started for a piece of work and did not live to end, such as an
 * unpacker: they would go on writing into the half-made folder that is about to be removed.
 */
import { readdirSync, readlinkSync } from "node:fs";
import { getLogger } from "@logtape/logtape";
import { messageOf } from "#base/error.ts";
import { STAGING_MARK } from "#base/files/atomic.ts";
import { argumentsOf, identify } from "#base/process-identity.ts";
import type { Roots } from "#config/paths.ts";
import { killProcess } from "#vmm/process.ts";

const log = getLogger(["banger", "daemon"]);

/**
 * Ends every process whose arguments or working folder name something half-made below our own
 * folders, and gives their command lines. Only for when no work is under way.
 */
export async function endOrphans({ state, cache }: Roots): Promise<string[]> {
  const isHalfMade = (text: string): boolean =>
    [state, cache].some((root) => text.includes(`${root}/`)) && text.includes(STAGING_MARK);
  const ended: string[] = [];
  for (const pid of readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)) {
    const argv = argumentsOf(pid);
    if (pid === process.pid || ![...argv, folderOf(pid)].some(isHalfMade)) continue;
    const orphan = identify(pid);
    if (!orphan) continue;
    try {
      await killProcess(orphan);
      ended.push(argv.join(" "));
    } catch (error) {
      log.warn("{message}", { message: messageOf(error) });
    }
  }
  return ended;
}

function folderOf(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return "";
  }
}
