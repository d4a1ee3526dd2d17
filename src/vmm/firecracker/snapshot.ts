/**
 * What Firecracker writes for a snapshot of a machine that is paused: processors and devices, and all of the
 * memory, made sparse. Source: docs/snapshotting of Firecracker.
 */
import {
  chownSync,
  closeSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { errnoOf } from "#base/error.ts";
import { copySparse } from "#base/files/copy-file.ts";
import { punchZeros } from "#base/files/sparse.ts";
import type { Snapshot } from "#vmm/driver.ts";
import { JAIL_GID, jailUid } from "#vmm/jail/user.ts";
import { type CallOptions, callApi } from "./api.ts";
import { JAILED_OUT, snapshotFolder } from "./layout.ts";
import { isAtLeast } from "./program.ts";

/** Before, the tap of a snapshot could not be replaced, and each machine has a tap of its own. */
const SNAPSHOT_SINCE = "1.12";
/** Since then a Diff needs no list of the pages that were written to: it takes those that are in memory. */
const DIFF_SINCE = "1.13";

/**
 * A Diff writes the pages that are in memory, into a file that may hold the others already. For a machine that was
 * booted these are all that its guest has ever touched; the others of one that was restored are in the file that
 * it came from, and which it has mapped.
 */
export const snapshotTypes = ["Diff", "Full"] as const;
export type SnapshotType = (typeof snapshotTypes)[number];

/** The kind that a version makes; undefined where a snapshot would be of no use. */
export function snapshotType(version: string): SnapshotType | undefined {
  if (!isAtLeast(version, SNAPSHOT_SINCE)) return undefined;
  return isAtLeast(version, DIFF_SINCE) ? "Diff" : "Full";
}

/** A file, whatever becomes of its name. */
export const fileIdentity = z.object({ device: z.number(), inode: z.number() });
export type FileIdentity = z.infer<typeof fileIdentity>;

export function identityOf(path: string): FileIdentity {
  const { dev, ino } = statSync(path);
  return { device: dev, inode: ino };
}

export interface SaveContext extends CallOptions {
  /** Of Firecracker. */
  pid: number;
  apiSocket: string;
  type: SnapshotType;
  /** The memory that the machine was restored from; undefined for one that was booted. */
  origin: FileIdentity | undefined;
  pause: () => Promise<void>;
  logPath: string;
  /** Of a jailed machine; undefined for a plain one. */
  jailedRuntimeDir: string | undefined;
}

/** Pauses the machine and writes both files, which must not exist. Nothing is left of a failure. */
export async function saveSnapshot(files: Snapshot, context: SaveContext): Promise<void> {
  const { pid, apiSocket, origin, pause, logPath, jailedRuntimeDir, ...options } = context;
  const base = origin && pathOf(origin, pid);
  const isDiff = context.type === "Diff" && (!origin || base !== undefined) && !hasSwap();
  const isJailed = jailedRuntimeDir !== undefined;
  // Firecracker writes into files that are there, and so cannot put anything else in their place.
  const out = isJailed ? filesIn(snapshotFolder(logPath)) : files;
  const seen = isJailed ? filesIn(JAILED_OUT) : files;
  const made: string[] = [];
  try {
    for (const path of [out.memoryPath, out.statePath]) {
      if (isDiff && base && path === out.memoryPath) await copySparse(base, path, options);
      else closeSync(openSync(path, "wx", 0o600));
      made.push(path);
      if (isJailed) chownSync(path, jailUid(jailedRuntimeDir), JAIL_GID);
    }
    await pause();
    const body = {
      snapshot_type: isDiff ? "Diff" : "Full",
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

/** As a file that the process has open, which it may be the last to know. */
function pathOf({ device, inode }: FileIdentity, pid: number): string | undefined {
  const folder = `/proc/${pid}/fd`;
  try {
    return readdirSync(folder)
      .map((name) => join(folder, name))
      .find((path) => {
        const { dev, ino } = statSync(path, { throwIfNoEntry: false }) ?? {};
        return dev === device && ino === inode;
      });
  } catch {
    // It may be none of ours to look into.
    return undefined;
  }
}

/** Pages that were swapped out are not in memory, so that a Diff would lack them. */
function hasSwap(): boolean {
  return readFileSync("/proc/swaps", "utf8").trim().split("\n").length > 1;
}
