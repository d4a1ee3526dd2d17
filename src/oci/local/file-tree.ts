/** The files of an image layout, in a directory or inside a tar. */
import type { Stats } from "node:fs";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { BangerError, errnoOf } from "#base/error.ts";
import { readChunks } from "#base/files/chunks.ts";

export interface FileTree {
  /** For messages: the quoted path of the directory or archive. */
  readonly what: string;
  /** Bytes; undefined if the file does not exist. */
  size(name: string): Promise<number | undefined>;
  stream(name: string, options?: ReadOptions): AsyncIterable<Uint8Array>;
}

export interface ReadOptions {
  signal?: AbortSignal | undefined;
  /** Reads only the start of the file. */
  max_bytes?: number;
}

/** Throws `not_found` unless the directory exists. */
export async function openFolder(path: string): Promise<FileTree> {
  const what = `"${path}"`;
  const found = await statIfThere(path);
  if (!found?.isDirectory()) {
    throw new BangerError("not_found", `Cannot open ${what}: no such directory`);
  }
  return {
    what,
    async size(name) {
      const file = await statIfThere(join(path, name));
      return file?.isFile() ? file.size : undefined;
    },
    stream(name, { signal, max_bytes } = {}) {
      return readChunks(join(path, name), { signal, length: max_bytes });
    },
  };
}

/** A whole small file. Throws `not_found`, or `limit_exceeded` when it has more than `max_bytes`. */
export async function readFileOf(
  tree: FileTree,
  name: string,
  max_bytes: number,
): Promise<Uint8Array> {
  const size = await tree.size(name);
  if (size === undefined) {
    throw new BangerError("not_found", `Cannot read ${tree.what}: no "${name}" in it`);
  }
  if (size > max_bytes) {
    throw new BangerError(
      "limit_exceeded",
      `Cannot read ${tree.what}: "${name}" is too large: ${size} bytes`,
    );
  }
  return Buffer.concat(await Array.fromAsync(tree.stream(name, { max_bytes })));
}

async function statIfThere(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path);
  } catch (error) {
    if (["ENOENT", "ENOTDIR"].includes(errnoOf(error) ?? "")) return undefined;
    throw error;
  }
}
