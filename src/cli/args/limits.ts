/** Converts the flags for a machine's limits to an API request. */
import type { VmLimits } from "#api/vm.ts";

export function limitsOf({
  diskBandwidth,
  diskIops,
  netBandwidth,
}: {
  diskBandwidth: number | undefined;
  diskIops: number | undefined;
  netBandwidth: { in: number; out: number } | undefined;
}): VmLimits | undefined {
  const limits = [diskBandwidth, diskIops, netBandwidth];
  if (limits.every((limit) => limit === undefined)) return undefined;
  return {
    disk_bytes_per_s: diskBandwidth,
    disk_operations_per_s: diskIops,
    net_in_bytes_per_s: netBandwidth?.in,
    net_out_bytes_per_s: netBandwidth?.out,
  };
}
