/** Reads a directory tree of a guest; untrusted input. */
import { BangerError } from "#base/error.ts";
import {
  readTreeRecords,
  type TreeEntry,
  TYPE_DIRECTORY,
  typeOf,
} from "#base/files/tree-records.ts";
import { parentOf } from "#workspace/names.ts";
import type { GuestPort } from "./port.ts";

/** By name, "" for the directory itself; undefined if there is no such directory. */
export async function readTree(
  guest: GuestPort,
  path: string,
): Promise<Map<string, TreeEntry> | undefined> {
  const chunks = await guest.tree(path);
  if (!chunks) return undefined;
  const entries = new Map<string, TreeEntry>();
  for await (const entry of readTreeRecords(chunks, { what: "the workspace" })) {
    checkPlace(entries, entry);
    entries.set(entry.name, entry);
  }
  return entries;
}

/** Each name once, and only in a directory: whoever writes such files on the host meets no symlink on the way. */
function checkPlace(entries: ReadonlyMap<string, TreeEntry>, { name }: TreeEntry): void {
  const parent = name === "" ? undefined : entries.get(parentOf(name));
  const isPlaced = name === "" || (parent && typeOf(parent) === TYPE_DIRECTORY);
  if (!entries.has(name) && isPlaced) return;
  throw new BangerError("guest", "Cannot read the workspace: inconsistent records from the guest");
}
