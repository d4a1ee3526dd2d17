/** The VMM and the kernel of a machine that shares directories of the host. */
import type { VmCreate } from "#api/vm.ts";
import { BangerError } from "#base/error.ts";
import { parseNeeds } from "#kernels/select.ts";
import type { VmDeps } from "#vm/deps.ts";

const FEATURE = "9p";
const VMM = "qemu";
/** What works on every VMM and kernel. */
const OTHERWISE = "or use a copy (--workspace DIR, banger vm cp) or a volume (-v NAME:/path)";

/** The request with both. `unsupported` where others were asked for, and where there is no such kernel. */
export async function withShares<T extends VmCreate>(
  { kernels }: { kernels: Pick<VmDeps["kernels"], "show" | "select"> },
  request: T,
): Promise<T> {
  if (!request.shares?.length) return request;
  if (![undefined, "auto", VMM].includes(request.monitor)) {
    throw refused("Firecracker does not support it", "Use --vmm qemu");
  }
  if (request.kernel) {
    const { name, features } = await kernels.show(request.kernel);
    if (features.includes(FEATURE)) return { ...request, monitor: VMM };
    throw refused(`kernel "${name}" does not have the feature ${FEATURE}`, "Omit --kernel-ref");
  }
  const needs = request.needs ? `${request.needs},${FEATURE}` : FEATURE;
  await kernels.select(parseNeeds(needs)).catch((error: unknown) => {
    if (!(error instanceof BangerError) || error.code !== "not_found") throw error;
    throw refused(error.message, error.hint ?? "List kernels with: banger kernel list");
  });
  return { ...request, monitor: VMM, needs };
}

function refused(reason: string, hint: string): BangerError {
  return new BangerError("unsupported", `Cannot share a directory of the host: ${reason}`, {
    hint: `${hint}, ${OTHERWISE}`,
  });
}
