/** How much of the processors a VMM gets while others want them too. */
import { readdirSync, writeFileSync } from "node:fs";
import { setPriority } from "node:os";
import { join } from "node:path";
import { errnoOf } from "#base/error.ts";

/** For cpu.weight, which is 100 for others, and for nice(2). */
const LOW = { weight: 10, nice: 10 };
const NORMAL = { weight: 100, nice: 0 };
const GONE_OR_REFUSED = ["ENOENT", "ESRCH", "EACCES", "EPERM", "ENODEV"];

/**
 * Nice levels count within a control group only, so that a group has a weight as a whole. Without root nobody gets
 * back what was lowered by nice(2).
 */
export function setShare(
  { pid, cgroup }: { pid: number; cgroup: string | undefined },
  share: "low" | "normal",
): void {
  const { weight, nice } = share === "low" ? LOW : NORMAL;
  try {
    if (cgroup) writeFileSync(join(cgroup, "cpu.weight"), String(weight));
    // Each thread has a level of its own.
    else for (const thread of readdirSync(`/proc/${pid}/task`)) setPriority(Number(thread), nice);
  } catch (error) {
    if (!GONE_OR_REFUSED.includes(errnoOf(error) ?? "")) throw error;
  }
}
