/**
 * What Firecracker writes for a snapshot of a machine that is paused: processors and devices, and all of the
 * memory, made sparse. Source: docs/snapshotting of Firecracker.
 */
import { chownSync, closeSync, openSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { errnoOf } from "#base/error.ts";
import { copySparse } from "#base/files/copy-file.ts";
import { punchZeros } from "#base/files/sparse.ts";
import type { Snapshot } from "#vmm/driver.ts";
import { type CallOptions, callApi } from "./api.ts";
import { JAIL_GID, jailUid } from "./jail.ts";
import { JAILED_OUT, snapshotFolder } from "./layout.ts";
import { isAtLeast } from "./program.ts";

/** Before, the tap of a snapshot could not be replaced, and each machine has a tap of its own. */
const SNAPSHOT_SINCE = "1.12";
/** Since then a Diff needs no list of the pages that were written to: it takes those that are in memory. */
const DIFF_SINCE = "1.13";

/**
 * A Diff has the pages that are in memory, and a hole for each other. For a machine that was booted these are all
 * that its guest has ever touched. One that was restored has more, in the file that it came from.
 */
export const snapshotTypes = ["Diff", "Full"] as const;
export type SnapshotType = (typeof snapshotTypes)[number];

/** The kind that is whole; undefined where a snapshot would be of no use. */
export function snapshotType(
  version: string,
  { isRestored = false } = {},
): SnapshotType | undefined {
  if (!isAtLeast(version, SNAPSHOT_SINCE)) return undefined;
  return !isRestored && isAtLeast(version, DIFF_SINCE) ? "Diff" : "Full";
}

export interface SaveContext extends CallOptions {
  apiSocket: string;
  type: SnapshotType;
  logPath: string;
  /** Of a jailed machine; undefined for a plain one. */
  jailedRuntimeDir: string | undefined;
}

/** Writes both files, which must not exist. Nothing is left of a failure. */
export async function saveSnapshot(files: Snapshot, context: SaveContext): Promise<void> {
  const { apiSocket, type, logPath, jailedRuntimeDir, ...options } = context;
  const isJailed = jailedRuntimeDir !== undefined;
  // Firecracker writes into files that are there, and so cannot put anything else in their place.
  const out = isJailed ? filesIn(snapshotFolder(logPath)) : files;
  const seen = isJailed ? filesIn(JAILED_OUT) : files;
  const made: string[] = [];
  try {
    for (const path of [out.memoryPath, out.statePath]) {
      closeSync(openSync(path, "wx", 0o600));
      made.push(path);
      if (isJailed) chownSync(path, jailUid(jailedRuntimeDir), JAIL_GID);
    }
    const body = {
      snapshot_type: type === "Diff" && hasSwap() ? "Full" : type,
      snapshot_path: seen.statePath,
      mem_file_path: seen.memoryPath,
    };
    await callApi(apiSocket, { method: "PUT", path: "/snapshot/create", body }, options);
    await punchZeros(out.memoryPath, options);
    if (!isJailed) return;
    made.push(files.memoryPath, files.statePath);
    await handOver(out.memoryPath, files.memoryPath);
    await handOver(out.statePath, files.statePath);
  } catch (error) {
    for (const path of made) rmSync(path, { force: true });
    throw error;
  }
}

function filesIn(folder: string): Snapshot {
  return { memoryPath: join(folder, "memory"), statePath: join(folder, "state") };
}

/** From the jail's user to this one. */
async function handOver(from: string, to: string): Promise<void> {
  chownSync(from, process.getuid?.() ?? 0, process.getgid?.() ?? 0);
  try {
    renameSync(from, to);
  } catch (error) {
    if (errnoOf(error) !== "EXDEV") throw error;
    await copySparse(from, to);
    rmSync(from);
  }
}

/** Pages that were swapped out are not in memory, so that a Diff would lack them. */
function hasSwap(): boolean {
  return readFileSync("/proc/swaps", "utf8").trim().split("\n").length > 1;
}
