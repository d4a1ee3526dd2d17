/** Changes in a machine since a workspace was imported, by names and attributes. */

import type { TreeEntry } from "#base/files/tree-records.ts";
import type { GuestPort } from "#workspace/guest/port.ts";
import { readGuestRefs } from "#workspace/guest/refs.ts";
import { joinName } from "./names.ts";
import { signatureOf, type WorkspaceRecord } from "./record.ts";

export interface GuestChanges {
  /** Imported files that are changed or gone. */
  files: string[];
  /** HEAD, branches and tags that have changed. */
  refs: string[];
}

export async function guestChanges(
  guest: GuestPort,
  { record, tree }: { record: WorkspaceRecord; tree: ReadonlyMap<string, TreeEntry> },
): Promise<GuestChanges> {
  const files = Object.entries(record.files).flatMap(([name, signature]) => {
    const entry = tree.get(name);
    return entry && signatureOf(entry) === signature ? [] : [name];
  });
  const refs: string[] = [];
  for (const { name, head, branch, refs: before } of record.repositories) {
    const now = await readGuestRefs(guest, record.path, { root: name, tree });
    if (now.head !== head || now.branch !== branch) refs.push(joinName(name, "HEAD"));
    for (const [ref, id] of now.refs) {
      const isOwn = /^refs\/(heads|tags)\//.test(ref);
      if (isOwn && before[ref] !== id) refs.push(joinName(name, ref));
    }
  }
  return { files, refs };
}
