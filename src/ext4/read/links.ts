/** Files of an image behind symbolic links. */
import { posix } from "node:path";
import { BangerError } from "#base/error.ts";
import { modes } from "#ext4/format.ts";
import type { FileStat } from "./inode.ts";
import type { Ext4Reader } from "./reader.ts";

const LINKS_FOLLOWED_MAX = 8;

/** The file that `start` leads to, with its path; undefined if there is none. */
export function followLinks(
  reader: Ext4Reader,
  start: string,
): { path: string; file: FileStat } | undefined {
  let path = start;
  for (let hop = 0; hop < LINKS_FOLLOWED_MAX; hop++) {
    let file: FileStat;
    try {
      file = reader.stat(path);
    } catch (error) {
      if (error instanceof BangerError && error.code === "not_found") return undefined;
      throw error;
    }
    if (file.type !== modes.SYMLINK) return { path, file };
    const target = Buffer.from(reader.targetOf(file)).toString("latin1");
    path = posix.resolve("/", posix.dirname(path), target);
  }
  return undefined;
}
