/** What the next daemon needs of a running QEMU beyond its handle, kept beside its sockets. */
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { writeFileAtomic } from "#base/files/atomic.ts";
import { type LogNotes, logNotes } from "#vmm/logs.ts";
import { socketPaths } from "./command.ts";

export function writeNotes(runtimeDir: string, notes: LogNotes): void {
  writeFileAtomic(notesPath(runtimeDir), JSON.stringify(notes), { isTransient: true });
}

export function readNotes(runtimeDir: string): LogNotes | undefined {
  try {
    return logNotes.parse(JSON.parse(readFileSync(notesPath(runtimeDir), "utf8")));
  } catch {
    return undefined;
  }
}

/** Removes everything that a machine keeps in its runtime folder. */
export function clearRuntime(runtimeDir: string): void {
  const sockets = Object.values(socketPaths(runtimeDir));
  for (const path of [...sockets, notesPath(runtimeDir)]) rmSync(path, { force: true });
}

function notesPath(runtimeDir: string): string {
  return join(runtimeDir, "qemu.json");
}
