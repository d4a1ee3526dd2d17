/** The guest's console log: untrusted text in a file that the guest can grow without limit. */
import { closeSync, fstatSync, ftruncateSync, openSync, readSync, writeSync } from "node:fs";
import { safeText } from "#base/printable.ts";
import { KiB, MiB } from "#base/size.ts";
import type { ExitReason } from "./driver.ts";

/** How much of the end of a log is looked at. */
const TAIL_MAX_BYTES = 64 * KiB;
const LINE_MAX_CHARS = 1000;
const PANIC_LINES_SHOWN = 12;
/** What the kernel prints when it gives up. */
const PANIC = "Kernel panic - not syncing";
/** A log beyond this size loses its beginning. */
export const LOG_MAX_BYTES = 16 * MiB;
const LOG_KEPT_BYTES = 1 * MiB;

export function hasPanic(consoleText: string): boolean {
  return consoleText.includes(PANIC);
}

export function panicReason(consoleText: string): ExitReason & { kind: "panic" } {
  return { kind: "panic", detail: lastLines(consoleText, PANIC_LINES_SHOWN).join("\n") };
}

/**
 * The last `count` non-empty lines of what a guest has printed, fit to print: no control characters,
 * no line over 1,000 characters; after a panic those up to the panic's own line, since what
 * follows are registers and addresses.
 */
export function lastLines(consoleText: string, count: number): string[] {
  const all = consoleText
    .split(/\r?\n|\r/)
    .map((line) => safeText(line).trimEnd().slice(0, LINE_MAX_CHARS))
    .filter((line) => line !== "");
  const panic = all.findLastIndex(hasPanic);
  const end = panic < 0 ? all.length : panic + 1;
  return all.slice(Math.max(0, end - count), end);
}

/** The last 64 KiB of a file, as it is, without the `start_bytes` that it held before; empty when there is no such file. */
export function readTail(path: string, start_bytes = 0): string {
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch {
    return "";
  }
  try {
    const size = fstatSync(fd).size;
    // A log that was cut is shorter than it was: then all of it is new.
    const from = Math.max(start_bytes <= size ? start_bytes : 0, size - TAIL_MAX_BYTES);
    const buffer = Buffer.alloc(Math.max(0, size - from));
    return buffer.toString("utf8", 0, readSync(fd, buffer, 0, buffer.length, from));
  } finally {
    closeSync(fd);
  }
}

/**
 * Cuts a log that has grown beyond LOG_MAX_BYTES to its last MiB. Its writer must have opened
 * it for appending; what it writes during the cut may be lost.
 */
export function boundLog(path: string): void {
  let fd: number;
  try {
    fd = openSync(path, "r+");
  } catch {
    return;
  }
  try {
    const size = fstatSync(fd).size;
    if (size <= LOG_MAX_BYTES) return;
    const kept = Buffer.alloc(LOG_KEPT_BYTES);
    const length = readSync(fd, kept, 0, kept.length, size - kept.length);
    ftruncateSync(fd, 0);
    writeSync(fd, kept, 0, length, 0);
  } finally {
    closeSync(fd);
  }
}
