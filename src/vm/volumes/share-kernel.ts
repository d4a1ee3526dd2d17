/**
 * How a machine gets directories of the host: by 9P, as devices of QEMU, where its kernel has that; else by FUSE, over
 * the agent's stream, on every VMM.
 */
import type { VmCreate } from "#api/vm.ts";
import { BangerError } from "#base/error.ts";
import { parseNeeds } from "#kernels/select.ts";
import type { VmDeps } from "#vm/deps.ts";
import { isImageKernel } from "#vm/image-boot.ts";
import type { VmRecord } from "#vm/records.ts";
import type { Driver } from "#vmm/driver.ts";

const DEVICE = "9p";
const STREAM = "fuse";
const VMM = "qemu";
/** What works on every VMM and kernel. */
const OTHERWISE = "or use a copy (--workspace DIR, banger vm cp) or a volume (-v NAME:/path)";

interface Kernels {
  kernels: Pick<VmDeps["kernels"], "show" | "select">;
}

/** The request with a kernel and VMM that can. `unsupported` where others were asked for, and where there is no such kernel. */
export async function withShares<T extends VmCreate>(deps: Kernels, request: T): Promise<T> {
  if (!request.shares?.length) return request;
  if (request.kernel) {
    const { name, features } = await deps.kernels.show(request.kernel);
    if (features.includes(STREAM)) return request;
    if (features.includes(DEVICE)) return onQemu(request);
    throw refused(
      `kernel "${name}" has neither the feature ${STREAM} nor ${DEVICE}`,
      "Omit --kernel-ref",
    );
  }
  // Whoever needs it wants it used.
  if (request.needs?.split(",").includes(DEVICE)) return onQemu(request);
  const found = await withFeature(deps, request, STREAM);
  if (!(found instanceof BangerError)) return found;
  const other = isQemu(request) ? await withFeature(deps, request, DEVICE) : found;
  if (!(other instanceof BangerError)) return onQemu(other);
  throw refused(found.message, found.hint ?? "List kernels with: banger kernel list");
}

async function withFeature<T extends VmCreate>(
  { kernels }: Kernels,
  request: T,
  feature: string,
): Promise<T | BangerError> {
  const needs = request.needs ? `${request.needs},${feature}` : feature;
  try {
    await kernels.select(parseNeeds(needs));
    return { ...request, needs };
  } catch (error) {
    if (error instanceof BangerError && error.code === "not_found") return error;
    throw error;
  }
}

/** A machine that starts. What is in an image's own kernel is not known: QEMU has the device for it. */
export async function shareTransport(
  { kernels }: { kernels: Pick<VmDeps["kernels"], "show"> },
  { kernel, spec }: Pick<VmRecord, "kernel" | "spec">,
  driver: Pick<Driver, "name">,
): Promise<"9p" | "fuse" | undefined> {
  if (!spec.shares?.length) return undefined;
  if (driver.name !== VMM) return "fuse";
  const has9p = isImageKernel(kernel) || (await kernels.show(kernel)).features.includes(DEVICE);
  return has9p ? "9p" : "fuse";
}

function onQemu<T extends VmCreate>(request: T): T {
  if (isQemu(request)) return { ...request, monitor: VMM };
  throw refused(`Firecracker does not support ${DEVICE}`, `Use --vmm qemu, or --needs ${STREAM}`);
}

function isQemu({ monitor }: VmCreate): boolean {
  return [undefined, "auto", VMM].includes(monitor);
}

function refused(reason: string, hint: string): BangerError {
  return new BangerError("unsupported", `Cannot share a directory of the host: ${reason}`, {
    hint: `${hint}, ${OTHERWISE}`,
  });
}
