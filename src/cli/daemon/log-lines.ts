/** Formats the daemon's log for people. */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { errnoOf } from "#base/error.ts";
import { safeLine } from "#base/printable.ts";
import { MiB } from "#base/size.ts";

/** Of the end of the log, where the lines asked for are looked for. */
const TAIL_MAX_BYTES = 4 * MiB;

/** "2026-11-20T10:00:00.000Z INFO [call] message" of a JSON line; any other line as it is. */
export function formatLogLine(line: string): string {
  const record = parse(line);
  if (!record) return safeLine(line);
  const { "@timestamp": time, level, message, properties } = record;
  const { stack, call } = (properties ?? {}) as { stack?: unknown; call?: unknown };
  const id = typeof call === "string" ? ` [${call}]` : "";
  const trace =
    typeof stack === "string" ? `\n${stack.split("\n").slice(1).map(safeLine).join("\n")}` : "";
  return `${safeLine(`${time} ${String(level).toUpperCase()}${id} ${message}`)}${trace}`;
}

/** The last `count` lines after the byte `from`; none when there is no such file. */
export function lastLines(path: string, count: number, from = 0): string[] {
  const bytes = readEnd(path, from);
  const lines = bytes.toString("utf8").split("\n");
  if (lines.at(-1) === "") lines.pop();
  return count === 0 ? [] : lines.slice(-count);
}

/** 0 when there is no such file. */
export function sizeOf(path: string): number {
  const size = Bun.file(path).size;
  return Number.isFinite(size) ? size : 0;
}

function readEnd(path: string, from: number): Buffer {
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return Buffer.alloc(0);
    throw error;
  }
  try {
    const { size } = fstatSync(fd);
    const start = Math.min(size, Math.max(from, size - TAIL_MAX_BYTES));
    const bytes = Buffer.alloc(size - start);
    return bytes.subarray(0, readSync(fd, bytes, 0, bytes.length, start));
  } finally {
    closeSync(fd);
  }
}

function parse(line: string): Record<string, unknown> | undefined {
  if (!line.startsWith("{")) return undefined;
  try {
    const record: unknown = JSON.parse(line);
    const isRecord = typeof record === "object" && record !== null && "message" in record;
    return isRecord ? { ...record } : undefined;
  } catch {
    return undefined;
  }
}
