/** Steps before a running machine is saved: check for free space, and sync its disk so that it can be booted alone. */
import { statSync } from "node:fs";
import { getLogger } from "@logtape/logtape";
import { throwIfAborted } from "#base/abort.ts";
import { messageOf } from "#base/error.ts";
import { assertRoom } from "#base/files/free-space.ts";
import { MiB } from "#base/size.ts";
import { residentMemory } from "#vm/life/admission.ts";
import type { MachineLink } from "#vm/life/machine-link.ts";
import type { VmRecord } from "./records.ts";

const log = getLogger(["banger", "vm"]);

/** A guest that takes longer to sync is saved anyway, since its memory has the rest. */
const SYNC_MAX_MS = 60_000;
/** Room for device state, records and file system overhead. */
const SPARE_BYTES = 32 * MiB;
const BLOCK_BYTES = 512;

/**
 * Throws `no_space` if the copy does not fit into `folder`. `memoryOf`: process of the machine whose memory is saved
 * too; `disk`: a disk to copy. Blocks that a reflink would share are counted, since only copying shows which.
 */
export function assertRoomFor(
  { spec }: Pick<VmRecord, "spec">,
  {
    folder,
    memoryOf,
    disk,
    what,
  }: { folder: string; memoryOf?: number; disk?: string; what: string },
): void {
  const { memory_mib } = spec.started ?? spec;
  const memory_bytes =
    memoryOf === undefined ? 0 : Math.min(memory_mib * MiB, residentMemory(memoryOf));
  const disk_bytes = disk === undefined ? 0 : statSync(disk).blocks * BLOCK_BYTES;
  assertRoom(folder, memory_bytes + disk_bytes + SPARE_BYTES, what);
}

/** If its memory is lost or discarded, the disk is as after a sync and a power-off. */
export async function syncDisk(link: MachineLink, signal: AbortSignal | undefined): Promise<void> {
  const limit = AbortSignal.timeout(SYNC_MAX_MS);
  const limited = signal ? AbortSignal.any([signal, limit]) : limit;
  try {
    const agent = await link.agent(limited);
    await agent.run(["sync"], { signal: limited });
  } catch (error) {
    // The image may lack the program; an unresponsive guest is saved anyway.
    log.debug("cannot sync the disk: {message}", { message: messageOf(error) });
  }
  throwIfAborted(signal);
}
