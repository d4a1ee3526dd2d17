/** What both sides of a mirror had when they were last equal, kept on the host between runs. */
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { writeFileAtomic } from "#base/files/atomic.ts";
import { readRecord, writeRecord } from "#workspace/record.ts";
import type { Equal } from "./compare.ts";

const savedState = z.object({
  version: z.literal(1),
  /** On the host. */
  source: z.string(),
  /** Of the import before. */
  importedAt: z.string().optional(),
  files: z.record(z.string(), z.tuple([z.string(), z.string()])),
});

/** `folder`: of the import's record. Without a run since the import, its files are what was equal. */
export function readBase(folder: string, source: string): Map<string, Equal> {
  const record = readRecord(folder);
  const saved = readSaved(folder);
  if (saved?.source === source && saved.importedAt === record?.importedAt) {
    const files = Object.entries(saved.files);
    return new Map(files.map(([name, [host, guest]]) => [name, { host, guest }]));
  }
  if (record?.state !== "imported" || record.source !== source) return new Map();
  const files = Object.entries(record.files);
  return new Map(files.map(([name, signature]) => [name, { host: signature, guest: signature }]));
}

/** The import's record follows: the next import does not take what was mirrored for changes of the machine's. */
export function writeBase(
  folder: string,
  { source, base }: { source: string; base: ReadonlyMap<string, Equal> },
): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const files = Object.fromEntries(
    [...base].map(([name, { host, guest }]) => [name, [host, guest]]),
  );
  const record = readRecord(folder);
  const importedAt = record?.importedAt;
  writeFileAtomic(statePath(folder), JSON.stringify({ version: 1, source, importedAt, files }));
  if (record?.state !== "imported" || record.source !== source) return;
  const signatures = Object.fromEntries([...base].map(([name, { guest }]) => [name, guest]));
  writeRecord(folder, { ...record, files: signatures });
}

function readSaved(folder: string): z.infer<typeof savedState> | undefined {
  try {
    return savedState.safeParse(JSON.parse(readFileSync(statePath(folder), "utf8"))).data;
  } catch {
    // Missing, or damaged: then only what looks the same counts as equal.
    return undefined;
  }
}

function statePath(folder: string): string {
  return join(folder, "sync.json");
}
