/**
 * Snapshots of QEMU: the guest's memory as a sparse file, and processors and devices, some 80 KB, as a migration
 * stream. That comes in through a unix socket: the sandbox lets QEMU start no program, and versions before 8.2
 * read no file.
 */
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { throwIfAborted } from "#base/abort.ts";
import { BangerError } from "#base/error.ts";
import type { Snapshot, SnapshotOptions } from "#vmm/driver.ts";
import { openSocket } from "#vmm/socket.ts";
import { MemoryCopy } from "./memory.ts";
import { askMonitor, type Qmp } from "./qmp.ts";
import { type MemoryBlock, stateStream } from "./state-stream.ts";

const LOOK_MS = 2;
const TIMEOUT_MS = 180_000;
const FIRMWARE = "pc.bios";
/** The firmware's memory ends here. */
const FIRMWARE_END = 2 ** 32;

interface SaveOptions extends SnapshotOptions {
  /** Of QEMU. */
  pid: number;
}

/** Stops the machine and writes both files, which must not exist. It is left stopped, and may go on. */
export async function saveSnapshot(
  qmp: Qmp,
  { statePath, memoryPath }: Snapshot,
  { pid, signal, onPause }: SaveOptions,
): Promise<void> {
  const memory = await MemoryCopy.begin(qmp, { pid, path: memoryPath, signal });
  const scratch = { devices: `${statePath}.devices`, firmware: `${statePath}.firmware` };
  try {
    onPause?.();
    await qmp.execute("stop");
    // Otherwise it gives up its locks on the disks.
    const live = false;
    await qmp.execute("xen-save-devices-state", { filename: scratch.devices, live });
    const firmware = await readFirmware(qmp, scratch.firmware);
    const state = stateStream(readFileSync(scratch.devices), firmware);
    writeFileSync(statePath, state, { flag: "wx", mode: 0o600 });
    await memory.complete();
  } finally {
    for (const path of Object.values(scratch)) rmSync(path, { force: true });
  }
}

async function readFirmware(qmp: Qmp, path: string): Promise<MemoryBlock> {
  const blocks = await askMonitor(qmp, "info ramblock");
  const used = new RegExp(`^ *${FIRMWARE} .* (0x[0-9a-f]+) 0x[0-9a-f]+`, "m").exec(blocks)?.[1];
  if (!used) throw new BangerError("unsupported", "Cannot save the machine: unknown firmware");
  const size = Number(used);
  await qmp.execute("pmemsave", { val: FIRMWARE_END - size, size, filename: path });
  return { name: FIRMWARE, bytes: readFileSync(path) };
}

interface LoadOptions {
  /** Of the socket, in a private folder. */
  socketPath: string;
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
  const { socketPath, statePath, grown, signal } = options;
  await qmp.execute("migrate-set-parameters", { "announce-rounds": 0 });
  await qmp.execute("migrate-incoming", { uri: `unix:${socketPath}` });
  const socket = await openSocket(socketPath, signal);
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
