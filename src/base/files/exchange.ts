/** Replaces one folder by another in a single step. */
import { dlopen, FFIType, ptr } from "bun:ffi";
import { renameSync, rmSync } from "node:fs";
import { stagingPath } from "./atomic.ts";

const AT_FDCWD = -100;
const RENAME_EXCHANGE = 2;

/** Swaps two existing paths. Where the file system cannot, by three renames. */
export function exchange(a: string, b: string): void {
  if (exchangeAtOnce(a, b)) return;
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

function exchangeAtOnce(a: string, b: string): boolean {
  try {
    const libc = dlopen("libc.so.6", {
      renameat2: {
        args: [FFIType.i32, FFIType.ptr, FFIType.i32, FFIType.ptr, FFIType.u32],
        returns: FFIType.i32,
      },
    });
    const from = Buffer.from(`${a}\0`);
    const to = Buffer.from(`${b}\0`);
    const result = libc.symbols.renameat2(AT_FDCWD, ptr(from), AT_FDCWD, ptr(to), RENAME_EXCHANGE);
    libc.close();
    return result === 0;
  } catch {
    return false;
  }
}
