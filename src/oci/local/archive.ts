/**
 * Reads files inside a tar on disk in place, with an index of their offsets. Links are followed, because old versions
 * of `docker save` share layers by them.
 */
import type { FileHandle } from "node:fs/promises";
import { posix } from "node:path";
import { throwIfAborted } from "#base/abort.ts";
import { BangerError, errnoOf } from "#base/error.ts";
import { openRegular, readAt, readChunks } from "#base/files/chunks.ts";
import { KiB } from "#base/size.ts";
import type { TarEntry } from "#tar/entry.ts";
import { TAR_BLOCK_BYTES, TarError } from "#tar/header.ts";
import { type TarHandler, TarReader } from "#tar/reader.ts";
import type { FileTree } from "./file-tree.ts";

const WINDOW_BYTES = 64 * KiB;
const MAX_ENTRIES = 100_000;
const MAX_LINKS = 16;

type Entry =
  | { kind: "file"; offset: number; size: number }
  | { kind: "link"; target: string }
  | { kind: "sparse" };

/** Reads all headers of the archive. Throws `not_found` or `integrity`. `name` is used in messages. */
export async function openArchive(
  path: string,
  { signal, name = path }: { signal?: AbortSignal | undefined; name?: string } = {},
): Promise<FileTree> {
  const what = `"${name}"`;
  const entries = await withFile(path, (file) => readIndex(file, what, signal));

  function find(name: string): Extract<Entry, { kind: "file" }> | undefined {
    let at = name;
    for (let hop = 0; hop <= MAX_LINKS; hop++) {
      const entry = entries.get(at);
      if (entry?.kind === "sparse") throw new TarError(`"${name}" is a sparse file`, what);
      if (entry?.kind !== "link") return entry;
      at = entry.target;
    }
    throw new TarError(`link loop at "${name}"`, what);
  }

  return {
    what,
    async size(name) {
      return find(name)?.size;
    },
    async *stream(name, options = {}) {
      const entry = find(name);
      if (!entry) throw new BangerError("not_found", `Cannot read ${what}: no "${name}" in it`);
      const length = Math.min(entry.size, options.max_bytes ?? entry.size);
      let done = 0;
      for await (const chunk of readChunks(path, {
        start: entry.offset,
        length,
        signal: options.signal,
      })) {
        done += chunk.length;
        yield chunk;
      }
      if (done < length) throw new TarError("it ends in the middle of a file", what);
    },
  };
}

async function readIndex(
  file: FileHandle,
  what: string,
  signal: AbortSignal | undefined,
): Promise<Map<string, Entry>> {
  const index = new TarIndex(what);
  const reader = new TarReader(index);
  const { size: end } = await file.stat();
  if (end < TAR_BLOCK_BYTES) throw new TarError("it is not a tar archive", what);
  let window: { at: number; bytes: Uint8Array } = { at: 0, bytes: new Uint8Array(0) };
  try {
    for (let at = 0; at < end && !reader.isDone; ) {
      const skipped = reader.skip(end - at);
      at += skipped;
      if (skipped > 0) continue;
      if (at + TAR_BLOCK_BYTES > window.at + window.bytes.length) {
        throwIfAborted(signal);
        window = { at, bytes: await readAt(file, at, WINDOW_BYTES) };
      }
      const block = window.bytes.subarray(at - window.at, at - window.at + TAR_BLOCK_BYTES);
      if (block.length === 0) break;
      reader.push(block);
      at += block.length;
      index.place(at, reader.dataLeft_bytes);
    }
    reader.finish();
  } catch (error) {
    throw error instanceof TarError ? new TarError(error.problem, what) : error;
  }
  return index.entries;
}

/** The offset of each file's data. The last entry of a name wins, as when unpacking. */
class TarIndex implements TarHandler {
  readonly entries = new Map<string, Entry>();
  readonly #what: string;
  #count = 0;
  /** A file whose offset is not known yet. */
  #file: { name: string; size: number } | undefined;

  constructor(what: string) {
    this.#what = what;
  }

  entry(entry: TarEntry): void {
    this.#count++;
    if (this.#count > MAX_ENTRIES) {
      throw new BangerError(
        "limit_exceeded",
        `Cannot read ${this.#what}: more than ${MAX_ENTRIES} entries`,
      );
    }
    const name = text(entry.name);
    const linkName = text(entry.linkName);
    if (entry.type === "file") this.#file = { name: cleanName(name), size: entry.size };
    else if (entry.type === "link") this.#link(name, linkName);
    else if (entry.type === "symlink") this.#link(name, posix.join(posix.dirname(name), linkName));
    else this.entries.delete(cleanName(name));
  }

  data(): void {}

  end(): void {}

  /** Called after each block, with the offset at which the data of its file begins. */
  place(offset: number, stored_bytes: number): void {
    if (!this.#file) return;
    const { name, size } = this.#file;
    // Fewer stored bytes than the file's size: a sparse file.
    const isWhole = stored_bytes === size;
    this.entries.set(name, isWhole ? { kind: "file", offset, size } : { kind: "sparse" });
    this.#file = undefined;
  }

  #link(name: string, target: string): void {
    this.entries.set(cleanName(name), { kind: "link", target: cleanName(target) });
  }
}

function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

function cleanName(name: string): string {
  return posix.normalize(name).replace(/^(?:\.?\/)+/, "");
}

async function withFile<T>(path: string, use: (file: FileHandle) => Promise<T>): Promise<T> {
  const file = await openFile(path);
  try {
    return await use(file);
  } finally {
    await file.close();
  }
}

async function openFile(path: string): Promise<FileHandle> {
  try {
    return await openRegular(path);
  } catch (error) {
    if (error instanceof BangerError) throw error;
    const code = errnoOf(error) === "ENOENT" ? "not_found" : "permission_denied";
    const why = code === "not_found" ? "no such file" : `cannot be read (${errnoOf(error)})`;
    throw new BangerError(code, `Cannot open "${path}": ${why}`, { cause: error });
  }
}
