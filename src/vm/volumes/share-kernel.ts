/** The VMM and the kernel of a machine that shares directories of the host. */
import type { VmCreate } from "#api/vm.ts";
import { BangerError } from "#base/error.ts";
import type { VmDeps } from "#vm/deps.ts";

const FEATURE = "9p";
const VMM = "qemu";

/** The request with both. `unsupported` where others were asked for. */
export async function withShares<T extends VmCreate>(
  { kernels }: Pick<VmDeps, "kernels">,
  request: T,
): Promise<T> {
  if (!request.shares?.length) return request;
  if (![undefined, "auto", VMM].includes(request.monitor)) {
    throw refused("Firecracker cannot do it", "Use --vmm qemu, or a volume: -v NAME:/path");
  }
  if (request.kernel) {
    const { name, features } = await kernels.show(request.kernel);
    if (!features.includes(FEATURE)) {
      throw refused(`kernel "${name}" does not have the feature ${FEATURE}`, "Omit --kernel-ref");
    }
  }
  const needs = request.needs ? `${request.needs},${FEATURE}` : FEATURE;
  return { ...request, monitor: VMM, ...(request.kernel ? {} : { needs }) };
}

function refused(reason: string, hint: string): BangerError {
  return new BangerError("unsupported", `Cannot share a directory of the host: ${reason}`, {
    hint,
  });
}
