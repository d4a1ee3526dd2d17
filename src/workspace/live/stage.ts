/** Brings files of a machine into a scratch directory, under names of our own; the machine's are only keys here. */
import { closeSync, ftruncateSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { type TreeEntry, TYPE_FILE, TYPE_SYMLINK } from "#base/files/tree-records.ts";
import { MiB } from "#base/size.ts";
import type { TarEntry } from "#tar/entry.ts";
import { receiveFiles } from "#workspace/guest/files.ts";
import type { GuestPort } from "#workspace/guest/port.ts";
import type { Staged } from "./host-tree.ts";

/** Larger files are not mirrored. */
export const FILE_MAX_BYTES = 1024 * MiB;

export interface StageRequest {
  path: string;
  names: readonly string[];
  folder: string;
  /** False: only the attributes are of use, as the content is on the host. Default: all are wanted. */
  wants?: (entry: TreeEntry) => boolean;
}

/** By name. Those that are gone, no files or too large are missing; of what nobody wants, only `path` is. */
export async function stageFiles(
  guest: GuestPort,
  request: StageRequest,
): Promise<Map<string, Staged>> {
  const links: string[] = [];
  const staged = await stageOnce(guest, request, links);
  // The second name of a file comes without content, if the first is in the same archive.
  for (const name of links) {
    const alone = await stageOnce(guest, { ...request, names: [name] }, []);
    for (const [key, value] of alone) staged.set(key, value);
  }
  return staged;
}

async function stageOnce(
  guest: GuestPort,
  { path, names, folder, wants = () => true }: StageRequest,
  links: string[],
): Promise<Map<string, Staged>> {
  const wanted = new Set(names);
  const staged = new Map<string, Staged>();
  await receiveFiles(guest, { path, names }, (tarEntry, name) => {
    if (!wanted.has(name) || staged.has(name)) return undefined;
    if (tarEntry.type === "link") links.push(name);
    if (tarEntry.type !== "file" && tarEntry.type !== "symlink") return undefined;
    const entry = entryOf(tarEntry, name);
    if (tarEntry.type === "symlink" || !wants(entry)) {
      staged.set(name, { path: undefined, entry });
      return undefined;
    }
    if (entry.size > FILE_MAX_BYTES) return undefined;
    const file = join(folder, crypto.randomUUID());
    const fd = openSync(file, "wx", 0o600);
    return {
      data(bytes, offset) {
        for (let at = 0; at < bytes.length; )
          at += writeSync(fd, bytes, at, bytes.length - at, offset + at);
      },
      end() {
        ftruncateSync(fd, entry.size);
        closeSync(fd);
        staged.set(name, { path: file, entry });
      },
    };
  });
  return staged;
}

function entryOf(entry: TarEntry, name: string): TreeEntry {
  const { mode, size, mtime_s, mtime_ns } = entry;
  const isLink = entry.type === "symlink";
  return {
    name,
    mode: (isLink ? TYPE_SYMLINK : TYPE_FILE) | (isLink ? 0o777 : mode & 0o7777),
    size,
    ...{ mtime_s, mtime_ns },
    target: isLink ? Buffer.from(entry.linkName).toString("latin1") : undefined,
  };
}

export function dropStaged(staged: Iterable<Staged>): void {
  for (const { path } of staged) if (path !== undefined) rmSync(path, { force: true });
}
