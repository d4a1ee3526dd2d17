/** Nested virtualization. */
import type { VmCreate } from "#api/vm.ts";
import { BangerError } from "#base/error.ts";
import type { VmDeps } from "#vm/deps.ts";
import { nestedProblem } from "#vmm/host.ts";

const FEATURE = "kvm-host";
const VMM = "qemu";

/** The request with the VMM and the kernel that nested virtualization needs. `unsupported` if this host has none. */
export async function withNested<T extends VmCreate>(
  { kernels }: Pick<VmDeps, "kernels">,
  request: T,
  findProblem = nestedProblem,
): Promise<T> {
  if (!request.nested) return request;
  const problem = findProblem();
  if (problem) throw refused(problem.reason, problem.fix);
  if (![undefined, "auto", VMM].includes(request.monitor)) {
    throw refused("Firecracker does not support it", "Use --vmm qemu");
  }
  if (request.kernel) {
    const { name, features } = await kernels.show(request.kernel);
    if (!features.includes(FEATURE)) {
      throw refused(
        `kernel "${name}" does not have the feature ${FEATURE}`,
        "Omit --kernel-ref to select one",
      );
    }
  }
  const needs = request.needs ? `${request.needs},${FEATURE}` : FEATURE;
  return { ...request, monitor: VMM, ...(request.kernel ? {} : { needs }) };
}

function refused(reason: string, hint: string | undefined): BangerError {
  const message = `Cannot create a machine with nested virtualization: ${reason}`;
  return new BangerError("unsupported", message, { hint });
}
