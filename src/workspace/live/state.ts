/** What both sides of a mirror had when they were last equal, kept on the host between runs. */
import { mkdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { writeFileAtomic } from "#base/files/atomic.ts";
import { readRecord, writeRecord } from "#workspace/record.ts";
import type { Equal } from "./compare.ts";

const savedState = z.object({
  version: z.literal(1),
  /** On the host. */
  source: z.string(),
  /** The inode of that directory. */
  top: z.string().optional(),
  /** Of the machine's files. */
  mark: z.string().optional(),
  /** Of the import before. */
  importedAt: z.string().optional(),
  files: z.record(z.string(), z.tuple([z.string(), z.string()])),
});

export interface SavedBase {
  base: Map<string, Equal>;
  /** Undefined if it was saved without. */
  mark: string | undefined;
}

/** `folder`: of the import's record. Without a run since the import, its files are what was equal. */
export function readBase(folder: string, source: string): SavedBase {
  const record = readRecord(folder);
  const saved = readSaved(folder);
  if (saved?.source === source && saved.importedAt === record?.importedAt) {
    const files = Object.entries(saved.files);
    const base = new Map(files.map(([name, [host, guest]]) => [name, { host, guest }]));
    // Another directory has that path, such as the mount point of a disk that is not mounted.
    const isOther = saved.top !== undefined && saved.top !== inodeOf(source);
    return isOther ? { base: new Map(), mark: undefined } : { base, mark: saved.mark };
  }
  if (record?.state !== "imported" || record.source !== source)
    return { base: new Map(), mark: undefined };
  const files = Object.entries(record.files);
  const base = new Map(
    files.map(([name, signature]) => [name, { host: signature, guest: signature }]),
  );
  return { base, mark: record.mark };
}

/** The import's record follows: the next import does not take what was mirrored for changes of the machine's. */
export function writeBase(
  folder: string,
  {
    source,
    base,
    mark,
  }: { source: string; base: ReadonlyMap<string, Equal>; mark: string | undefined },
): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const files = Object.fromEntries(
    [...base].map(([name, { host, guest }]) => [name, [host, guest]]),
  );
  const record = readRecord(folder);
  const importedAt = record?.importedAt;
  const state = { version: 1, source, top: inodeOf(source), mark, importedAt, files };
  writeFileAtomic(statePath(folder), JSON.stringify(state));
  if (record?.state !== "imported" || record.source !== source) return;
  const signatures = Object.fromEntries([...base].map(([name, { guest }]) => [name, guest]));
  writeRecord(folder, { ...record, mark, files: signatures });
}

/** Of a directory; undefined if there is none. */
export function inodeOf(path: string): string | undefined {
  return statSync(path, { bigint: true, throwIfNoEntry: false })?.ino.toString();
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
