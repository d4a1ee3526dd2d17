/** Packs a file or tree of the host as a tar archive: owners, modes, times, links and holes included. */

import type { BigIntStats } from "node:fs";
import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { lstat, readdir, readlink } from "node:fs/promises";
import type { FileCopied } from "#api/file.ts";
import { throwIfAborted } from "#base/abort.ts";
import { BangerError, errnoOf } from "#base/error.ts";
import { dataParts } from "#base/files/sparse.ts";
import { KiB } from "#base/size.ts";
import {
  type DataPart,
  TAR_END,
  tarHeader,
  tarPadding,
  tarTime,
  type WrittenEntry,
} from "#tar/write.ts";

const CHUNK_BYTES = 256 * KiB;
/** Small things travel together. */
const BATCH_BYTES = 64 * KiB;
const MAX_SHOWN_SKIPPED = 100;
const OPEN_FILE = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

export interface PackOptions {
  /** What the tree is called in the archive; "." for its contents. */
  name: string;
  signal?: AbortSignal | undefined;
  onProgress?: ((done_bytes: number) => void) | undefined;
}

export interface PackedTree {
  chunks: AsyncIterable<Uint8Array>;
  /** Whole when the last chunk was read. */
  result: FileCopied;
}

/** A link at `path` itself is followed only where it ends in "/" or "/.". */
export function packTree(path: string, options: PackOptions): PackedTree {
  const result: FileCopied = { entries: 0, size_bytes: 0, skipped: 0, skippedNames: [] };
  return { chunks: batched(new Packer(result, options).pack(path)), result };
}

/** Names are bytes: a host's file may have any. */
class Packer {
  readonly #result: FileCopied;
  readonly #options: PackOptions;
  /** The first name of each file that has several, by device and inode. */
  readonly #links = new Map<string, Uint8Array>();

  constructor(result: FileCopied, options: PackOptions) {
    this.#result = result;
    this.#options = options;
  }

  async *pack(path: string): AsyncGenerator<Uint8Array> {
    yield* this.#walk(Buffer.from(path), Buffer.from(this.#options.name));
    yield TAR_END;
  }

  async *#walk(path: Buffer, name: Buffer): AsyncGenerator<Uint8Array> {
    throwIfAborted(this.#options.signal);
    const info = await lstat(path, { bigint: true });
    if (info.isDirectory()) {
      yield this.#header({ ...commonOf(info, name), type: "directory" });
      // Those that go missing meanwhile are not missed: what was listed is what there was.
      for (const child of await readdir(path, { encoding: "buffer" })) {
        yield* this.#walkChild(path, name, child);
      }
    } else if (info.isSymbolicLink()) {
      const linkName = await readlink(path, { encoding: "buffer" });
      yield this.#header({ ...commonOf(info, name), type: "symlink", linkName });
    } else if (info.isFile()) {
      yield* this.#file(path, name);
    } else {
      this.#result.skipped++;
      if (this.#result.skippedNames.length < MAX_SHOWN_SKIPPED) {
        this.#result.skippedNames.push(name.toString());
      }
    }
  }

  async *#walkChild(path: Buffer, name: Buffer, child: Buffer): AsyncGenerator<Uint8Array> {
    const slash = Buffer.from("/");
    try {
      yield* this.#walk(
        Buffer.concat([path, slash, child]),
        name.equals(Buffer.from(".")) ? child : Buffer.concat([name, slash, child]),
      );
    } catch (error) {
      if (errnoOf(error) !== "ENOENT") throw error;
    }
  }

  async *#file(path: Buffer, name: Buffer): AsyncGenerator<Uint8Array> {
    const fd = openSync(path, OPEN_FILE);
    try {
      const info = fstatSync(fd, { bigint: true });
      const entry = commonOf(info, name);
      const key = `${info.dev}:${info.ino}`;
      const first = info.nlink > 1n ? this.#links.get(key) : undefined;
      if (first) {
        yield this.#header({ ...entry, type: "link", linkName: first });
        return;
      }
      if (info.nlink > 1n) this.#links.set(key, name);
      const size = Number(info.size);
      const parts = dataParts(fd);
      yield this.#header({ ...entry, type: "file", size, parts });
      yield* this.#data(fd, { name, parts: parts ?? [{ offset: 0, length: size }] });
    } finally {
      closeSync(fd);
    }
  }

  /** As much as the header said, whatever happens to the file meanwhile. */
  async *#data(
    fd: number,
    { name, parts }: { name: Buffer; parts: readonly DataPart[] },
  ): AsyncGenerator<Uint8Array> {
    let stored = 0;
    for (const { offset, length } of parts) {
      for (let at = 0; at < length; ) {
        throwIfAborted(this.#options.signal);
        const chunk = Buffer.allocUnsafeSlow(Math.min(CHUNK_BYTES, length - at));
        const count = readSync(fd, chunk, 0, chunk.length, offset + at);
        if (count === 0) {
          throw new BangerError("conflict", `Cannot copy "${name}": file truncated while copying`, {
            hint: "Try again when no process writes to it",
          });
        }
        at += count;
        this.#result.size_bytes += count;
        this.#options.onProgress?.(this.#result.size_bytes);
        yield chunk.subarray(0, count);
      }
      stored += length;
    }
    yield tarPadding(stored);
  }

  #header(entry: WrittenEntry): Uint8Array {
    this.#result.entries++;
    return tarHeader(entry);
  }
}

function commonOf(info: BigIntStats, name: Uint8Array): Omit<WrittenEntry, "type"> {
  return {
    name,
    mode: Number(info.mode) & 0o7777,
    uid: Number(info.uid),
    gid: Number(info.gid),
    size: 0,
    ...tarTime(info.mtimeNs),
  };
}

async function* batched(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let waiting: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of chunks) {
    waiting.push(chunk);
    size += chunk.length;
    if (size < BATCH_BYTES) continue;
    yield waiting.length === 1 ? chunk : Buffer.concat(waiting);
    waiting = [];
    size = 0;
  }
  yield Buffer.concat(waiting);
}
