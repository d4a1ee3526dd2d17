import type { VmDeps } from "#vm/deps.ts";
import { assertFits } from "#vm/life/admission.ts";
import { listVms, type VmRecord } from "#vm/records.ts";

/** As `assertFits`. A template that nobody waits for gives way to a machine that does not fit beside it. */
export async function makeRoom(deps: VmDeps, vm: VmRecord): Promise<void> {
  const assert = (): void => assertFits(listVms(deps.db), { vm, folder: deps.config.paths.vms });
  try {
    assert();
  } catch (error) {
    if (!(await deps.nextTemplates?.giveWay())) throw error;
    assert();
  }
}
