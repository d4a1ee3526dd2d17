/** What lies between a machine that an earlier daemon has started and this process. */
import type { VmDeps } from "#vm/deps.ts";
import type { MachineLink } from "#vm/life/machine-link.ts";
import type { VmRecord } from "#vm/records.ts";
import { resumeShares } from "#vm/shares/mount.ts";
import { resumeSshAgent } from "#vm/ssh-agent/forward.ts";

export function resumeStreams(deps: VmDeps, vm: VmRecord, link: MachineLink): void {
  resumeSshAgent(deps, vm, link);
  resumeShares(deps, vm, link);
}
