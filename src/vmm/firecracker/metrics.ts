/** Firecracker's metrics: one JSON object on each line, its counters since the line before. */
import { statSync, truncateSync } from "node:fs";
import { BangerError } from "#base/error.ts";
import { MiB } from "#base/size.ts";
import { readTail } from "#vmm/console.ts";

/** Blocks in use beyond which a file that Firecracker writes is emptied. */
const KEPT_MAX_BYTES = 1 * MiB;
const BLOCK_BYTES = 512;
const DEPTH_MAX = 4;

/** "block.read_bytes" → number, also for each device: "block_disk0.read_bytes". */
export type Metrics = Record<string, number>;

/** The last whole line of a metrics file; `unavailable` when there is none. */
export function readMetrics(path: string): Metrics {
  const lines = readTail(path).split("\n").slice(0, -1);
  // A file that was emptied goes on where it was, and reads as zero bytes up to there.
  const line = lines.findLast((text) => text.includes("{"))?.replace(/^\0+/, "");
  if (!line) throw unreadable("none yet");
  try {
    return flatten(JSON.parse(line));
  } catch (cause) {
    throw unreadable("invalid JSON", cause);
  }
}

/**
 * Firecracker opens its files without O_APPEND and writes on where it was: a file cut short gets a
 * hole, so its blocks are what counts, and not its length.
 */
export function emptyWhenLarge(path: string): void {
  const file = statSync(path, { throwIfNoEntry: false });
  if (file && file.blocks * BLOCK_BYTES > KEPT_MAX_BYTES) truncateSync(path, 0);
}

function flatten(value: unknown, prefix = "", depth = 0): Metrics {
  if (typeof value === "number") return { [prefix]: value };
  if (typeof value !== "object" || value === null || depth === DEPTH_MAX) return {};
  const parts = Object.entries(value).map(([key, inner]) =>
    flatten(inner, prefix === "" ? key : `${prefix}.${key}`, depth + 1),
  );
  return Object.assign({}, ...parts);
}

function unreadable(why: string, cause?: unknown): BangerError {
  return new BangerError("unavailable", `Cannot read the machine's metrics: ${why}`, { cause });
}
