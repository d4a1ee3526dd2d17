/** Finds and removes processes and directories of machines that have no record. */
import { existsSync, readdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import type { RepairStep } from "#api/system.ts";
import type { VmDeps } from "#vm/deps.ts";
import { vmIds } from "#vm/records.ts";
import { removeCgroup } from "#vmm/cgroup.ts";
import { killOrphans } from "./template.ts";

/** A name of ours, so that nothing a user has put there is taken for one. */
const ID = /^[a-z0-9]{8,32}$/;

export async function sweepOrphans(
  deps: VmDeps,
  options: { isDryRun: boolean },
): Promise<RepairStep[]> {
  const { paths } = deps.config;
  const runtimes = dirname(paths.vm("any").runtime);
  // Folders are read first: a record comes before its folder and goes after it.
  const running = idsIn(runtimes);
  const kept = idsIn(paths.vms);
  const known = new Set([...vmIds(deps.db), ...(deps.nextTemplates?.ids ?? [])]);
  const steps: RepairStep[] = [];
  for (const id of running.filter((each) => !known.has(each))) {
    const path = join(runtimes, id);
    steps.push({ action: "clean", detail: `${path} belongs to no machine` });
    if (options.isDryRun) continue;
    await killOrphans(deps.drivers, path);
    await deps.network.detach({ machineId: id, mode: "nat" });
    if (deps.cgroups) await removeCgroup(join(deps.cgroups, id));
    rmSync(path, { recursive: true, force: true });
  }
  for (const id of kept.filter((each) => !known.has(each))) {
    const path = join(paths.vms, id);
    steps.push({ action: "clean", detail: `${path} belongs to no machine` });
    if (!options.isDryRun) rmSync(path, { recursive: true, force: true });
  }
  for (const path of [...deps.snapshots.leftovers(), ...deps.volumes.leftovers()]) {
    steps.push({ action: "clean", detail: `${path} was not completed` });
    if (!options.isDryRun) rmSync(path, { recursive: true, force: true });
  }
  return steps;
}

function idsIn(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder).filter((name) => ID.test(name)) : [];
}
