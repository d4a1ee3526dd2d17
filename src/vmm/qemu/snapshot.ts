/**
 * Snapshots of QEMU: the guest's memory as a sparse file, and processors and devices, some 80 KB, as a migration
 * stream. That comes in through a unix socket: the sandbox lets QEMU start no program, and versions before 8.2
 * read no file.
 */
import { writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { throwIfAborted } from "#base/abort.ts";
import { BangerError } from "#base/error.ts";
import { MiB } from "#base/size.ts";
import type { Snapshot, SnapshotOptions } from "#vmm/driver.ts";
import { type Scratch, writtenBy } from "#vmm/jail/scratch.ts";
import { openSocket } from "#vmm/socket.ts";
import { MemoryCopy } from "./memory.ts";
import { askMonitor, type Qmp } from "./qmp.ts";
import { type MemoryBlock, stateStream } from "./state-stream.ts";

/** Where the state of a snapshot comes in. */
export const STATE_SOCKET = "state.sock";
/** Of processors and devices: some 80 KB. */
const DEVICES_MAX_BYTES = 32 * MiB;
const FIRMWARE_MAX_BYTES = 16 * MiB;

const LOOK_MS = 2;
const TIMEOUT_MS = 180_000;
const FIRMWARE = "pc.bios";
/** The firmware's memory ends here. */
const FIRMWARE_END = 2 ** 32;

interface SaveOptions extends SnapshotOptions {
  /** Of QEMU. */
  pid: number;
  scratch: Scratch;
}

/** Stops the machine and writes both files, which must not exist. It is left stopped, and may go on. */
export async function saveSnapshot(
  qmp: Qmp,
  { statePath, memoryPath }: Snapshot,
  { pid, scratch, signal, onPause }: SaveOptions,
): Promise<void> {
  const memory = await MemoryCopy.begin(qmp, { pid, path: memoryPath, scratch, signal });
  onPause?.();
  await qmp.execute("stop");
  // Otherwise it gives up its locks on the disks.
  const live = false;
  const devices = await writtenBy(
    scratch,
    { name: "devices", max_bytes: DEVICES_MAX_BYTES },
    (filename) => qmp.execute("xen-save-devices-state", { filename, live }),
  );
  const state = stateStream(devices, await readFirmware(qmp, scratch));
  writeFileSync(statePath, state, { flag: "wx", mode: 0o600 });
  await memory.complete();
}

async function readFirmware(qmp: Qmp, scratch: Scratch): Promise<MemoryBlock> {
  const blocks = await askMonitor(qmp, "info ramblock");
  const used = new RegExp(`^ *${FIRMWARE} .* (0x[0-9a-f]+) 0x[0-9a-f]+`, "m").exec(blocks)?.[1];
  if (!used) throw new BangerError("unsupported", "Cannot save the machine: unknown firmware");
  const size = Number(used);
  const bytes = await writtenBy(
    scratch,
    { name: "firmware", max_bytes: FIRMWARE_MAX_BYTES },
    (filename) => qmp.execute("pmemsave", { val: FIRMWARE_END - size, size, filename }),
  );
  return { name: FIRMWARE, bytes };
}

interface LoadOptions {
  /** For a socket. */
  scratch: Scratch;
  statePath: string;
  /** Drives that are larger from now on. */
  grown: [node: string, bytes: number][];
  signal?: AbortSignal | undefined;
}

/**
 * Gives a QEMU that waits for it the state of a snapshot, and lets the machine go on.
 * After a migration QEMU announces the machine in its network and has the guest do so too, five times in the first
 * second. This one still has the addresses of the machine that it was saved of, which they belong to. And Linux 6.12
 * deadlocks when its network interface is set down for new addresses during that: both wait for the other.
 */
export async function loadState(qmp: Qmp, options: LoadOptions): Promise<void> {
  const { scratch, statePath, grown, signal } = options;
  await qmp.execute("migrate-set-parameters", { "announce-rounds": 0 });
  await qmp.execute("migrate-incoming", {
    uri: `unix:${join(scratch.inside, STATE_SOCKET)}`,
  });
  const socket = await openSocket(join(scratch.outside, STATE_SOCKET), signal);
  try {
    socket.end(await readFile(statePath));
    await loaded(qmp, signal);
  } finally {
    socket.destroy();
  }
  for (const [node, size] of grown) {
    await qmp.execute("block_resize", { "node-name": node, size });
  }
  await qmp.execute("cont");
}

async function loaded(qmp: Qmp, signal: AbortSignal | undefined): Promise<void> {
  const limit = AbortSignal.timeout(TIMEOUT_MS);
  while (true) {
    throwIfAborted(signal);
    const { status, "error-desc": why } = (await qmp.execute("query-migrate")) as {
      status?: string;
      "error-desc"?: string;
    };
    if (status === "completed") return;
    if (status === "failed" || status === "cancelled") {
      const text = `Cannot restore the machine: ${why ?? `QEMU says ${status}`}`;
      throw new BangerError("integrity", text);
    }
    if (limit.aborted) {
      const text = `Cannot restore the machine: QEMU took over ${TIMEOUT_MS} ms`;
      throw new BangerError("timeout", text);
    }
    await sleep(LOOK_MS);
  }
}
