/**
 * A suspended machine on disk: memory, state of processors and devices, and what both follow from. The memory is
 * of use only with the disk as it was then; a machine that went on from there has changed it.
 */
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { z } from "zod";
import { type Digest, sha256 } from "#base/digest.ts";
import { messageOf } from "#base/error.ts";
import { makeFolderAtomic, STAGING_MARK, syncTree } from "#base/files/atomic.ts";
import type { VmRecord } from "#vm/records.ts";
import type { ExitReason, Snapshot } from "#vmm/driver.ts";
import { UnusableMemory } from "./unusable.ts";

const FORMAT = 1;
const RECORD_MAX_BYTES = 64 * 1024;

const stamp = z.object({ size_bytes: z.int(), mtime_ns: z.string().max(32) });

const recordSchema = z.object({
  format: z.literal(FORMAT),
  /** Program, version, accelerator and processor: see `Driver.snapshotKey`. */
  vmm: z.string().max(4096),
  kernel: z.string().max(256),
  image: z.string().max(256),
  disk: stamp,
  memory: stamp,
  stateDigest: z.string().max(256),
});
type SavedRecord = z.infer<typeof recordSchema>;

/** What a machine must be woken with: other values do not fit its memory. */
export type SavedKind = Pick<SavedRecord, "vmm" | "kernel" | "image">;

export interface SavedMachine {
  kind: SavedKind;
  files: Snapshot;
}

interface Place {
  /** Of the machine's own, which is there for as long as it is suspended. */
  folder: string;
  /** Its writable layer. */
  disk: string;
}

/** Writes a machine by `write`, which leaves it paused, and has all of it on the disk. */
export async function saveMachine(
  { folder, disk }: Place,
  kind: SavedKind,
  write: (files: Snapshot) => Promise<void>,
): Promise<void> {
  discardSaved(folder);
  await makeFolderAtomic(folder, async (staging) => {
    const files = filesIn(staging);
    await write(files);
    const record: SavedRecord = {
      format: FORMAT,
      ...kind,
      disk: stampOf(disk),
      memory: stampOf(files.memoryPath),
      stateDigest: sha256(readFileSync(files.statePath)),
    };
    writeFileSync(recordPath(staging), JSON.stringify(record), { mode: 0o600 });
    // After a power cut it is there as a whole, disk and memory together, or not at all.
    await using file = await open(disk, "r+");
    await Promise.all([file.sync(), syncTree(staging)]);
  });
}

/** `UnusableMemory` when it is damaged, or the disk is not as it was. */
export function readSaved({ folder, disk }: Place): SavedMachine {
  const files = filesIn(folder);
  const { vmm, kernel, image, ...record } = readRecord(folder);
  check("its disk has changed since", () => Bun.deepEquals(stampOf(disk), record.disk));
  check("its memory is damaged", () => Bun.deepEquals(stampOf(files.memoryPath), record.memory));
  check(
    "its state is damaged",
    () => sha256(readFileSync(files.statePath)) === (record.stateDigest as Digest),
  );
  return { kind: { vmm, kernel, image }, files };
}

export function isSaved(place: Place): boolean {
  try {
    readSaved(place);
    return true;
  } catch {
    return false;
  }
}

/** Whether one whose process was ended while it woke is as it was before: it has not written to its disk. */
export function isToWakeAgain(
  { state }: Pick<VmRecord, "state">,
  { kind }: ExitReason,
  { suspended: folder, disk }: { suspended: string; disk: string },
): boolean {
  const isEnded = kind === "killed" || kind === "unknown";
  return state === "waking" && isEnded && isSaved({ folder, disk });
}

/** `UnusableMemory` where a machine would be woken with something else than it was suspended with. */
export function assertSameKind(then: SavedKind, now: SavedKind): void {
  check("the VMM, its version or the host's processor has changed", () => then.vmm === now.vmm);
  check("its kernel has changed", () => then.kernel === now.kernel);
  check("its image has changed", () => then.image === now.image);
}

/** With what a killed daemon has left half-made. Safe to repeat. A machine that was woken from it goes on. */
export function discardSaved(folder: string): void {
  const parent = dirname(folder);
  const partial = `${STAGING_MARK}${basename(folder)}`;
  const names = existsSync(parent) ? readdirSync(parent) : [];
  for (const name of names.filter((each) => each.startsWith(partial))) {
    rmSync(join(parent, name), { recursive: true, force: true });
  }
  rmSync(folder, { recursive: true, force: true });
}

function readRecord(folder: string): SavedRecord {
  try {
    const path = recordPath(folder);
    if (statSync(path).size > RECORD_MAX_BYTES) throw new Error("too large");
    return recordSchema.parse(JSON.parse(readFileSync(path, "utf8")));
  } catch (cause) {
    throw new UnusableMemory("its suspended memory is missing or incomplete", {
      cause,
    });
  }
}

function check(fault: string, isTrue: () => boolean): void {
  try {
    if (isTrue()) return;
  } catch (error) {
    throw new UnusableMemory(`${fault}: ${messageOf(error)}`, { cause: error });
  }
  throw new UnusableMemory(fault);
}

function filesIn(folder: string): Snapshot {
  return { memoryPath: join(folder, "memory"), statePath: join(folder, "state") };
}

function recordPath(folder: string): string {
  return join(folder, "suspend.json");
}

function stampOf(path: string): z.infer<typeof stamp> {
  const { size, mtimeNs } = statSync(path, { bigint: true });
  return { size_bytes: Number(size), mtime_ns: String(mtimeNs) };
}
