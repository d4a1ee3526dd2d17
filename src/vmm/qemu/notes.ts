/** What the next daemon needs of a running QEMU beyond its handle, kept beside its sockets. */
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { writeFileAtomic } from "#base/files/atomic.ts";
import { logNotes } from "#vmm/logs.ts";
import { socketPaths } from "./command.ts";
import { STATE_SOCKET } from "./snapshot.ts";

const notesSchema = logNotes.extend({
  /** It sees a root of its own; those of an earlier banger do not. */
  hasOwnRoot: z.boolean().default(false),
});

export type Notes = z.infer<typeof notesSchema>;

export function writeNotes(runtimeDir: string, notes: Notes): void {
  writeFileAtomic(notesPath(runtimeDir), JSON.stringify(notes), { isTransient: true });
}

export function readNotes(runtimeDir: string): Notes | undefined {
  try {
    return notesSchema.parse(JSON.parse(readFileSync(notesPath(runtimeDir), "utf8")));
  } catch {
    return undefined;
  }
}

/** Removes everything that a machine keeps in its runtime folder. */
export function clearRuntime(runtimeDir: string): void {
  const sockets = [...Object.values(socketPaths(runtimeDir)), join(runtimeDir, STATE_SOCKET)];
  for (const path of [...sockets, notesPath(runtimeDir)]) rmSync(path, { force: true });
}

function notesPath(runtimeDir: string): string {
  return join(runtimeDir, "qemu.json");
}
