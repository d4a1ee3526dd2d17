/**
 * A snapshot as one archive: a tar of its record, its files without their holes, and their digests at the end,
 * compressed with zstd where its name says so. One that is imported is taken for hostile: it holds the files of a
 * snapshot and nothing else, each once, no longer than the record says, with the digests that it gives.
 */
import {
  closeSync,
  createWriteStream,
  existsSync,
  ftruncateSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { open } from "node:fs/promises";
import { dirname } from "node:path";
import { pipeline } from "node:stream/promises";
import { constants, createZstdCompress, createZstdDecompress } from "node:zlib";
import { z } from "zod";
import { throwIfAborted } from "#base/abort.ts";
import { compressionOf } from "#base/compression.ts";
import { decompress } from "#base/decompress.ts";
import { BangerError, messageOf, toBangerError } from "#base/error.ts";
import { stagingPath } from "#base/files/atomic.ts";
import { readAt, readChunks } from "#base/files/chunks.ts";
import { assertRoom } from "#base/files/free-space.ts";
import { dataParts } from "#base/files/sparse.ts";
import type { WorkOptions } from "#base/progress.ts";
import { MiB } from "#base/size.ts";
import { shown, type TarEntry } from "#tar/entry.ts";
import { TarReader } from "#tar/reader.ts";
import { type DataPart, storedBytes, TAR_END, tarHeader, tarPadding } from "#tar/write.ts";
import { PartsHash } from "./parts-hash.ts";
import { type SnapshotRecord, snapshotRecord } from "./record.ts";
import type { SnapshotFiles, StoredSnapshot } from "./snapshots.ts";

const RECORD = "snapshot.json";
const DIGESTS = "digests.json";
const RECORD_MAX_BYTES = 4 * MiB;
const DIGESTS_MAX_BYTES = 4096;
const STATE_MAX_BYTES = 64 * MiB;
const READ_BYTES = MiB;
/** Between checks for free space. */
const CHECK_INTERVAL_BYTES = 16 * MiB;
/** Of zstd's window, as a power of two: 128 MiB of memory, what the zstd program needs at most by default. */
const WINDOW_LOG_MAX = 27;

const digestsSchema = z.object({
  disk: z.string(),
  memory: z.string().optional(),
  state: z.string().optional(),
});
type FileName = keyof z.infer<typeof digestsSchema>;

/** Gives its size. `already_exists` for a file without `force`; nothing is left of a failure. */
export async function exportSnapshot(
  { name, files, record, size_bytes: total }: StoredSnapshot,
  { path, force, signal, onProgress }: WorkOptions & { path: string; force?: boolean | undefined },
): Promise<number> {
  assertWritable(path, { force });
  const digests: Partial<Record<FileName, string>> = {};
  let done = 0;
  async function* archive(): AsyncGenerator<Uint8Array> {
    yield* small(RECORD, { ...record, name });
    for (const each of namesOf(record)) {
      const hash = new PartsHash();
      for await (const chunk of stored(each, files[each], hash)) {
        throwIfAborted(signal);
        yield chunk;
        done += chunk.length;
        onProgress?.({ step: "export", message: `Exporting ${name}`, done, total, unit: "bytes" });
      }
      digests[each] = hash.digest(statSync(files[each]).size);
    }
    yield* small(DIGESTS, digests);
    yield TAR_END;
  }
  const staging = stagingPath(path);
  try {
    const target = createWriteStream(staging, { flags: "wx", mode: 0o600 });
    await (path.endsWith(".zst")
      ? pipeline(archive(), createZstdCompress(), target)
      : pipeline(archive(), target));
    const { size } = statSync(staging);
    renameSync(staging, path);
    return size;
  } catch (error) {
    rmSync(staging, { force: true });
    throw toBangerError(error);
  }
}

/** `not_found` for its directory; `already_exists` for a file without `force`, and for what is none. */
function assertWritable(path: string, { force }: { force: boolean | undefined }): void {
  // The dot fails for a file in the directory's place.
  if (!existsSync(`${dirname(path)}/.`)) {
    throw new BangerError("not_found", `Cannot export to "${path}": no such directory`);
  }
  const stats = statSync(path, { throwIfNoEntry: false });
  if (!stats || (force && stats.isFile())) return;
  const isFile = stats.isFile();
  const why = isFile ? "it exists already" : "it is not a regular file";
  throw new BangerError("already_exists", `Cannot export to "${path}": ${why}`, {
    hint: isFile ? "Overwrite it with --force" : "Use a path that does not exist",
  });
}

/** State comes before the long files, so that what is no snapshot is seen early. */
function namesOf({ memory }: Pick<SnapshotRecord, "memory">): FileName[] {
  return memory ? ["state", "disk", "memory"] : ["disk"];
}

function* small(name: string, value: unknown): Generator<Uint8Array> {
  const bytes = Buffer.from(`${JSON.stringify(value)}\n`);
  yield entryHeader(name, bytes.length);
  yield bytes;
  yield tarPadding(bytes.length);
}

function entryHeader(name: string, size: number, parts?: DataPart[]): Uint8Array {
  const owner = { uid: 0, gid: 0, mtime_s: 0, mtime_ns: 0 };
  return tarHeader({ type: "file", name: Buffer.from(name), mode: 0o600, size, parts, ...owner });
}

/** The entry of a file, with its data alone. */
async function* stored(name: string, path: string, hash: PartsHash): AsyncGenerator<Uint8Array> {
  await using file = await open(path, "r");
  const { size } = await file.stat();
  const holes = dataParts(file.fd);
  const parts = holes ?? [{ offset: 0, length: size }];
  yield entryHeader(name, size, holes);
  for (const { offset, length } of parts) {
    for (let at = 0; at < length; ) {
      const bytes = await readAt(file, offset + at, Math.min(READ_BYTES, length - at));
      if (bytes.length === 0) {
        throw new BangerError("integrity", `Cannot export: "${path}" ends early`);
      }
      hash.add(bytes, offset + at);
      at += bytes.length;
      yield bytes;
    }
  }
  yield tarPadding(storedBytes(parts));
}

/** Writes the files of an archive. `onRecord` gets its name, and may refuse it before they are read. */
export async function importSnapshot(
  path: string,
  files: SnapshotFiles,
  options: WorkOptions & { onRecord: (name: string) => void },
): Promise<SnapshotRecord> {
  using unpacker = new Unpacker(files, options.onRecord);
  const { size } = statSync(path);
  let done = 0;
  async function* source(): AsyncGenerator<Uint8Array> {
    for await (const chunk of readChunks(path, { signal: options.signal })) {
      yield chunk;
      done += chunk.length;
      const message = "Importing the snapshot";
      options.onProgress?.({ step: "import", message, done, total: size, unit: "bytes" });
    }
  }
  try {
    for await (const chunk of await plain(path, source())) unpacker.push(chunk);
    return unpacker.finish();
  } catch (error) {
    if (error instanceof BangerError) throw error;
    throw toBangerError(error);
  }
}

async function plain(
  path: string,
  source: AsyncIterable<Uint8Array>,
): Promise<AsyncIterable<Uint8Array>> {
  await using file = await open(path, "r");
  const compression = compressionOf(await readAt(file, 0, 6));
  if (compression === undefined) return source;
  if (compression !== "zstd") throw refused(`it is compressed with ${compression}`);
  const params = { [constants.ZSTD_d_windowLogMax]: WINDOW_LOG_MAX };
  return decompress(createZstdDecompress({ params }), source);
}

type Target =
  | { kind: "text"; name: string; chunks: Uint8Array[] }
  | { kind: "file"; name: FileName; fd: number; hash: PartsHash; size: number };

class Unpacker implements Disposable {
  readonly #files: SnapshotFiles;
  readonly #onRecord: (name: string) => void;
  readonly #reader: TarReader;
  readonly #found: Partial<Record<FileName, string>> = {};
  #record: SnapshotRecord | undefined;
  #digests: Partial<Record<FileName, string | undefined>> | undefined;
  #target: Target | undefined;
  /** Bytes known to fit. */
  #unchecked_bytes = 0;

  constructor(files: SnapshotFiles, onRecord: (name: string) => void) {
    this.#files = files;
    this.#onRecord = onRecord;
    this.#reader = new TarReader({
      entry: (entry) => this.#begin(entry),
      data: (bytes, offset) => this.#data(bytes, offset),
      end: () => this.#end(),
    });
  }

  push(chunk: Uint8Array): void {
    this.#reader.push(chunk);
  }

  finish(): SnapshotRecord {
    this.#reader.finish();
    const record = this.#record;
    if (!record || !this.#digests) throw refused("it is not complete");
    for (const name of namesOf(record)) {
      if (this.#found[name] === undefined) throw refused(`it has no "${name}"`);
      if (this.#found[name] !== this.#digests[name]) throw refused(`"${name}" is damaged`);
    }
    return record;
  }

  [Symbol.dispose](): void {
    if (this.#target?.kind === "file") closeSync(this.#target.fd);
    this.#target = undefined;
  }

  #begin({ type, name: bytes, size }: TarEntry): void {
    const name = Buffer.from(bytes).toString("latin1");
    if (type !== "file") throw refused(`unexpected ${type} ${shown(bytes)}`);
    if (name === RECORD || name === DIGESTS) {
      const max = name === RECORD ? RECORD_MAX_BYTES : DIGESTS_MAX_BYTES;
      const isTwice = name === RECORD ? this.#record : this.#digests;
      if (size > max || isTwice) throw refused(`unexpected ${shown(bytes)}`);
      this.#target = { kind: "text", name, chunks: [] };
      return;
    }
    const record = this.#record;
    if (!record) throw refused("it is no snapshot");
    const found = namesOf(record).find((each) => each === name);
    if (!found || this.#found[found] !== undefined) throw refused(`unexpected ${shown(bytes)}`);
    if (!isSizeOf(record, found, size)) throw refused(`"${name}" has the wrong size`);
    const fd = openSync(this.#files[found], "wx", 0o600);
    this.#target = { kind: "file", name: found, fd, hash: new PartsHash(), size };
    ftruncateSync(fd, size);
  }

  #data(bytes: Uint8Array, offset: number): void {
    const target = this.#target;
    if (target?.kind === "text") target.chunks.push(Uint8Array.from(bytes));
    if (target?.kind !== "file") return;
    target.hash.add(bytes, offset);
    this.#assertRoom(bytes.length);
    for (let at = 0; at < bytes.length; ) {
      at += writeSync(target.fd, bytes, at, bytes.length - at, offset + at);
    }
  }

  /** Compressed data may expand to any length. */
  #assertRoom(bytes: number): void {
    this.#unchecked_bytes -= bytes;
    if (this.#unchecked_bytes >= 0) return;
    assertRoom(dirname(this.#files.disk), CHECK_INTERVAL_BYTES, "Cannot import the snapshot");
    this.#unchecked_bytes = CHECK_INTERVAL_BYTES;
  }

  #end(): void {
    const target = this.#target;
    this.#target = undefined;
    if (target?.kind === "file") {
      closeSync(target.fd);
      this.#found[target.name] = target.hash.digest(target.size);
    }
    if (target?.kind !== "text") return;
    const value = parsed(Buffer.concat(target.chunks).toString("utf8"));
    if (target.name === DIGESTS) {
      const digests = digestsSchema.safeParse(value);
      if (!digests.success) throw refused("its digests cannot be read");
      this.#digests = digests.data;
      return;
    }
    const record = snapshotRecord.safeParse(value);
    if (!record.success)
      throw refused(`its record cannot be read: ${z.prettifyError(record.error)}`);
    this.#record = record.data;
    const { name } = z.object({ name: z.string().max(255).catch("") }).parse(value);
    this.#onRecord(name);
  }
}

function isSizeOf({ spec }: SnapshotRecord, name: FileName, size: number): boolean {
  if (name === "state") return size <= STATE_MAX_BYTES;
  return size === (name === "disk" ? spec.disk_bytes : spec.memory_mib * MiB);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw refused(messageOf(error));
  }
}

function refused(why: string): BangerError {
  return new BangerError("integrity", `Cannot import the snapshot: ${why}`);
}
