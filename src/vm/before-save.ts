/** What is done before a machine that runs is saved: there is room for it, and its disk is of use by itself. */
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

/** A guest that has more to write than that goes with its memory all the same. */
const SYNC_MAX_MS = 60_000;
/** State of devices, records, and the file system's own. */
const SPARE_BYTES = 32 * MiB;
const BLOCK_BYTES = 512;

/**
 * `no_space` where what is saved does not fit into `folder`. `memoryOf`: process of the machine whose memory goes
 * along; `disk`: that is copied as well. Blocks that are shared afterwards are counted: only a copy shows that.
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

/** If its memory is lost or discarded, the disk is as if the machine had been shut down in a hurry. */
export async function syncDisk(link: MachineLink, signal: AbortSignal | undefined): Promise<void> {
  const limit = AbortSignal.timeout(SYNC_MAX_MS);
  const limited = signal ? AbortSignal.any([signal, limit]) : limit;
  try {
    const agent = await link.agent(limited);
    await agent.run(["sync"], { signal: limited });
  } catch (error) {
    // An image may have no such program; a guest that does not answer is saved as well as any.
    log.debug("cannot sync the disk: {message}", { message: messageOf(error) });
  }
  throwIfAborted(signal);
}
