/** Records of imports, kept on the host, where no guest can change them. */
import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { hexOf, sha256 } from "#base/digest.ts";
import { BangerError } from "#base/error.ts";
import { writeFileAtomic } from "#base/files/atomic.ts";
import { type TreeEntry, TYPE_SYMLINK, typeOf } from "#base/files/tree-records.ts";

const repositoryRecord = z.object({
  /** Of the machine and the host, relative to the workspace: "" is the workspace. */
  name: z.string(),
  /** Tree of the working tree as it was imported. */
  base: z.string(),
  /** banger's own repository that has the commit, relative to the record. */
  objects: z.string(),
  head: z.string().optional(),
  branch: z.string().optional(),
  refs: z.record(z.string(), z.string()),
});
export type RepositoryRecord = z.infer<typeof repositoryRecord>;

const workspaceRecord = z.object({
  version: z.literal(1),
  /** An interrupted import leaves "importing". */
  state: z.enum(["importing", "imported"]),
  kind: z.enum(["repository", "folder"]),
  vm: z.string(),
  /** In the machine. */
  path: z.string(),
  /** On the host. */
  source: z.string(),
  importedAt: z.string(),
  /** Of the machine's files: see live/mark.ts. Records of older versions have none. */
  mark: z.string().optional(),
  repositories: z.array(repositoryRecord),
  /** Of each file that was sent: see signatureOf(). Names are bytes in latin1. */
  files: z.record(z.string(), z.string()),
});
export type WorkspaceRecord = z.infer<typeof workspaceRecord>;

/** `root`: of all workspaces; `vm`: the machine's ID. */
export function recordFolder(root: string, vm: string, path: string): string {
  return join(root, vm, hexOf(sha256(path)).slice(0, 16));
}

export function readRecord(folder: string): WorkspaceRecord | undefined {
  let text: string;
  try {
    text = readFileSync(join(folder, "record.json"), "utf8");
  } catch {
    return undefined;
  }
  const parsed = workspaceRecord.safeParse(JSON.parse(text));
  if (parsed.success) return parsed.data;
  throw new BangerError(
    "integrity",
    `Cannot read "${folder}/record.json": not a workspace record`,
    {
      hint: `Remove ${folder}, then import again`,
    },
  );
}

export function writeRecord(folder: string, record: WorkspaceRecord): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  writeFileAtomic(join(folder, "record.json"), JSON.stringify(record));
}

/** All workspaces of a machine, the oldest first. */
export function listRecords(root: string, vm: string): WorkspaceRecord[] {
  const records = folders(join(root, vm)).map((name) => readRecord(join(root, vm, name)));
  return records
    .filter((record) => record !== undefined)
    .sort((a, b) => (a.importedAt < b.importedAt ? -1 : 1));
}

/** Removes records of machines that no longer exist. */
export function pruneRecords(root: string, vms: ReadonlySet<string>): void {
  for (const vm of folders(root)) {
    if (!vms.has(vm)) rmSync(join(root, vm), { recursive: true, force: true });
  }
}

/** Repository with the objects of imported working trees. */
export function objectsFolder(folder: string): string {
  return join(folder, "objects.git");
}

/** Changes whenever the file's attributes change. */
export function signatureOf(entry: TreeEntry): string {
  if (typeOf(entry) === TYPE_SYMLINK) return `l ${entry.target}`;
  const { mode, size, mtime_s, mtime_ns } = entry;
  return `${(mode & 0o170777).toString(8)} ${size} ${mtime_s}.${mtime_ns}`;
}

function folders(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}
