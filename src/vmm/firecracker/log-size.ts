/** Keeps the log that Firecracker writes from growing without limit. */
import { statSync, truncateSync } from "node:fs";
import { MiB } from "#base/size.ts";

/** Blocks in use beyond which it is emptied. */
const KEPT_MAX_BYTES = 1 * MiB;
const BLOCK_BYTES = 512;

/**
 * Firecracker opens its files without O_APPEND and writes on where it was: a file cut short gets a
 * hole, so its blocks are what counts, and not its length.
 */
export function emptyWhenLarge(path: string): void {
  const file = statSync(path, { throwIfNoEntry: false });
  if (file && file.blocks * BLOCK_BYTES > KEPT_MAX_BYTES) truncateSync(path, 0);
}
