/** The record of a session, in a file beside its log. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { execExit } from "#api/exec.ts";
import { sessionState } from "#api/session.ts";
import { BangerError, messageOf } from "#base/error.ts";
import { writeFileAtomic } from "#base/files/atomic.ts";

const FILE = "session.json";

const sessionRecord = z.object({
  name: z.string(),
  argv: z.array(z.string()),
  user: z.string().optional(),
  terminal: z.boolean(),
  state: sessionState,
  pid: z.int().optional(),
  startedAt: z.string(),
  endedAt: z.string().optional(),
  exit: execExit.optional(),
});
export type SessionRecord = z.infer<typeof sessionRecord>;

export function writeRecord(folder: string, record: SessionRecord): void {
  writeFileAtomic(join(folder, FILE), `${JSON.stringify(record)}\n`);
}

/** Of the folders of a machine's sessions; those without a record are left out. */
export function recordFolders(sessions: string): string[] {
  if (!existsSync(sessions)) return [];
  return readdirSync(sessions)
    .map((name) => join(sessions, name))
    .filter((folder) => existsSync(join(folder, FILE)));
}

export function readRecord(folder: string): SessionRecord {
  const path = join(folder, FILE);
  try {
    return sessionRecord.parse(JSON.parse(readFileSync(path, "utf8")));
  } catch (error) {
    throw new BangerError("internal", `Cannot read ${path}: ${messageOf(error)}`, { cause: error });
  }
}
