/** What the next daemon needs of a running Firecracker beyond its handle, kept beside its sockets. */
import { readdirSync, readFileSync, rmdirSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { z } from "zod";
import { writeFileAtomic } from "#base/files/atomic.ts";
import { logNotes } from "#vmm/logs.ts";
import { removeCgroup } from "./jail.ts";
import { hostFiles, isDriveName, snapshotFolder } from "./layout.ts";
import { takeBack } from "./lend.ts";
import { fileIdentity, snapshotTypes } from "./snapshot.ts";

const notesSchema = logNotes.extend({
  id: z.string(),
  /** How many it has; unknown of one that an earlier banger started. */
  drives: z.number().default(0),
  /** The kind of snapshot that it makes; undefined where none can be restored from. */
  snapshot: z.enum(snapshotTypes).optional(),
  /** The memory that it was restored from. */
  origin: fileIdentity.optional(),
  /** Undefined when it runs plainly. */
  jail: z
    .object({
      cgroup: z.boolean(),
      loan: z.object({
        files: z.array(z.object({ path: z.string(), uid: z.number(), gid: z.number() })),
        tap: z.object({ name: z.string(), uid: z.number() }).optional(),
      }),
    })
    .optional(),
});

export type Notes = z.infer<typeof notesSchema>;

export function writeNotes(runtimeDir: string, notes: Notes): void {
  writeFileAtomic(hostFiles(runtimeDir).notes, JSON.stringify(notes));
}

export function readNotes(runtimeDir: string): Notes | undefined {
  try {
    return notesSchema.parse(JSON.parse(readFileSync(hostFiles(runtimeDir).notes, "utf8")));
  } catch {
    return undefined;
  }
}

/** Undoes everything that a machine has outside its logs, once its process is gone. Safe to repeat. */
export function clearRuntime(runtimeDir: string): void {
  const files = hostFiles(runtimeDir);
  const notes = readNotes(runtimeDir);
  if (notes?.jail) {
    const { loan, cgroup } = notes.jail;
    takeBack({ files: loan.files, tap: loan.tap });
    if (cgroup) removeCgroup(notes.id);
    rmSync(snapshotFolder(notes.logPath), { recursive: true, force: true });
  }
  const { apiSocket, vsock, log } = files;
  // "vsock.sock_PORT" is for connections from the guest; nobody may have closed it.
  const others = namesIn(runtimeDir)
    .filter((name) => name.startsWith(`${basename(vsock)}_`) || isDriveName(name))
    .map((name) => join(runtimeDir, name));
  for (const path of [apiSocket, vsock, log, ...others, files.notes]) {
    rmSync(path, { force: true });
  }
  try {
    rmdirSync(files.jail);
  } catch {
    // There was none.
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
