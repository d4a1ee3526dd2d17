/** The log files of a machine, and what the next daemon needs to know of them. */
import { closeSync, fstatSync, openSync } from "node:fs";
import { z } from "zod";
import type { BootSpec } from "./driver.ts";

export const logNotes = z.object({
  consolePath: z.string(),
  logPath: z.string(),
  /** Sizes that the two files had when this machine started. */
  consoleStart_bytes: z.number(),
  logStart_bytes: z.number(),
  /** Its guest says goodbye; those of an earlier banger do not. */
  saysGoodbye: z.boolean().default(false),
});
export type LogNotes = z.infer<typeof logNotes>;

/** Makes the two log files, readable by this user only, and notes where their new part begins. */
export function openLogs({ consolePath, logPath }: BootSpec): LogNotes {
  return {
    consolePath,
    logPath,
    consoleStart_bytes: touch(consolePath),
    logStart_bytes: touch(logPath),
    saysGoodbye: true,
  };
}

/** Makes a file, readable by this user only, and gives its size. */
export function touch(path: string): number {
  const fd = openSync(path, "a", 0o600);
  try {
    return fstatSync(fd).size;
  } finally {
    closeSync(fd);
  }
}
