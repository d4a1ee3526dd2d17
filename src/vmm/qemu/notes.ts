/** What the next daemon must know of a running QEMU beyond its handle, kept beside its sockets. */
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { writeFileAtomic } from "#base/files/atomic.ts";
import { socketPaths } from "./command.ts";

const notesSchema = z.object({
  consolePath: z.string(),
  logPath: z.string(),
  /** Sizes that the two files had when this machine started. */
  consoleStart_bytes: z.number(),
  logStart_bytes: z.number(),
  /** Its guest says goodbye; those of an earlier banger do not. */
  saysGoodbye: z.boolean().default(false),
});

export type Notes = z.infer<typeof notesSchema>;

export function writeNotes(runtimeDir: string, notes: Notes): void {
  writeFileAtomic(notesPath(runtimeDir), JSON.stringify(notes));
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
  const sockets = Object.values(socketPaths(runtimeDir));
  for (const path of [...sockets, notesPath(runtimeDir)]) rmSync(path, { force: true });
}

function notesPath(runtimeDir: string): string {
  return join(runtimeDir, "qemu.json");
}
