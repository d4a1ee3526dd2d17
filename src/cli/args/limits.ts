/** Converts the flags for a machine's limits to an API request. */
import type { VmLimits } from "#api/vm.ts";

export function limitsOf({
  diskBandwidth,
  diskIops,
}: {
  diskBandwidth: number | undefined;
  diskIops: number | undefined;
}): VmLimits | undefined {
  if (diskBandwidth === undefined && diskIops === undefined) return undefined;
  return { disk_bytes_per_s: diskBandwidth, disk_operations_per_s: diskIops };
}
