/** Changes to a running QEMU's drives. */
import { statSync } from "node:fs";
import { z } from "zod";
import { BangerError } from "#base/error.ts";
import type { DiskLimits } from "#vmm/driver.ts";
import type { Qmp } from "./qmp.ts";

const blocks = z.array(
  z.object({
    qdev: z.string().optional(),
    inserted: z.object({ file: z.string(), "node-name": z.string().optional() }).optional(),
  }),
);

const fdSets = z.array(
  z.object({ "fdset-id": z.number(), fds: z.array(z.object({ fd: z.number() })) }),
);

/**
 * Limits of each drive. What has no limit loses the one that it had. They are not part of a snapshot, so each start
 * sets them.
 */
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

/** Makes the drive of the file `path` larger. Gives its place: they are listed in their order. */
export async function growDrive(
  qmp: Pick<Qmp, "execute">,
  { path, pid }: { path: string; pid: number },
  size_bytes: number,
): Promise<number> {
  const drives = blocks.parse(await qmp.execute("query-block"));
  const sets = fdSets.parse(await qmp.execute("query-fdsets"));
  const pathOf = (file: string) => {
    const set = sets.find((each) => file === `/dev/fdset/${each["fdset-id"]}`);
    return set ? `/proc/${pid}/fd/${set.fds[0]?.fd}` : file;
  };
  const index = drives.findIndex(({ inserted }) => inserted && isSame(pathOf(inserted.file), path));
  const node = drives[index]?.inserted?.["node-name"];
  if (node === undefined) throw new BangerError("not_found", `QEMU has no drive "${path}"`);
  await qmp.execute("block_resize", { "node-name": node, size: size_bytes });
  return index;
}

/** A file that QEMU has inherited is known here as a descriptor of its process. */
function isSame(one: string, path: string): boolean {
  if (one === path) return true;
  const [theirs, ours] = [one, path].map((each) => statSync(each, { throwIfNoEntry: false }));
  return theirs !== undefined && theirs.ino === ours?.ino && theirs.dev === ours.dev;
}
