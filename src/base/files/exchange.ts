/** Replaces one folder by another in a single step. */
import { renameSync, rmSync } from "node:fs";
import { swapPaths } from "#base/libc.ts";
import { stagingPath } from "./atomic.ts";

/** Swaps two existing paths. Where the file system cannot, by three renames. */
export function exchange(a: string, b: string): void {
  if (swapPaths(a, b)) return;
  const aside = stagingPath(b);
  renameSync(b, aside);
  try {
    renameSync(a, b);
  } catch (error) {
    renameSync(aside, b);
    throw error;
  }
  rmSync(a, { recursive: true, force: true });
  renameSync(aside, a);
}
