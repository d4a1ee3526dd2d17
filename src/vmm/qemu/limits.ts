/** Limits of a running QEMU's drives. They are not part of a snapshot, so each start sets them. */
import { z } from "zod";
import type { DiskLimits } from "#vmm/driver.ts";
import type { Qmp } from "./qmp.ts";

const blocks = z.array(z.object({ qdev: z.string().optional() }));

/** Of each drive. What has no limit loses the one that it had. */
export async function limitDrives(
  qmp: Pick<Qmp, "execute">,
  { bytes_per_s = 0, operations_per_s = 0 }: DiskLimits,
): Promise<void> {
  const total = { bps: bytes_per_s, iops: operations_per_s };
  const each = { bps_rd: 0, bps_wr: 0, iops_rd: 0, iops_wr: 0 };
  for (const { qdev } of blocks.parse(await qmp.execute("query-block"))) {
    if (qdev) await qmp.execute("block_set_io_throttle", { id: qdev, ...total, ...each });
  }
}

export function hasLimits(limits: DiskLimits | undefined): limits is DiskLimits {
  return Boolean(limits?.bytes_per_s || limits?.operations_per_s);
}
