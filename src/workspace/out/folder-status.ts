/** Changes in a directory that is not a repository, by names and attributes. */
import { type TreeEntry, TYPE_FILE, TYPE_SYMLINK, typeOf } from "#base/files/tree-records.ts";
import { isMark } from "#workspace/guest/mark.ts";
import { signatureOf, type WorkspaceRecord } from "#workspace/record.ts";

export interface FolderChange {
  status: "A" | "M" | "D";
  path: string;
}

export function folderStatus(
  record: WorkspaceRecord | undefined,
  tree: ReadonlyMap<string, TreeEntry>,
): FolderChange[] {
  const before = record?.files ?? {};
  const changes: FolderChange[] = [];
  for (const [path, entry] of tree) {
    const type = typeOf(entry);
    if ((type !== TYPE_FILE && type !== TYPE_SYMLINK) || isMark(path)) continue;
    const signature = before[path];
    if (signature === undefined) changes.push({ status: "A", path });
    else if (signature !== signatureOf(entry)) changes.push({ status: "M", path });
  }
  for (const path of Object.keys(before)) if (!tree.has(path)) changes.push({ status: "D", path });
  return changes.toSorted((a, b) => (a.path < b.path ? -1 : 1));
}
