/** Tar archives for a machine. Everything belongs to the user that extracts them. */
import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { throwIfAborted } from "#base/abort.ts";
import { BangerError, errnoOf } from "#base/error.ts";
import { type TreeEntry, TYPE_SYMLINK, typeOf } from "#base/files/tree-records.ts";
import { KiB } from "#base/size.ts";
import { TAR_END, tarHeader, tarPadding } from "#tar/write.ts";
import { shownName, toBytes } from "#workspace/names.ts";

const CHUNK_BYTES = 256 * KiB;
const BATCH_BYTES = 128 * KiB;
const OPEN = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

export interface SmallFile {
  kind: "bytes";
  name: string;
  bytes: Uint8Array;
  mtime_s?: number;
  mtime_ns?: number;
}

export interface HostFile {
  kind: "host";
  /** Of the host. */
  path: Buffer | string;
  entry: TreeEntry;
}

export interface Directory {
  kind: "directory";
  name: string;
}

export type TarItem = SmallFile | HostFile | Directory;

export interface TarOptions {
  signal?: AbortSignal | undefined;
  onBytes?: ((count: number) => void) | undefined;
  /** Whether a file has to have the time of its entry still. Default: yes. */
  checksTimes?: boolean;
}

export async function* tarOf(
  items: Iterable<TarItem> | AsyncIterable<TarItem>,
  options: TarOptions = {},
): AsyncGenerator<Uint8Array> {
  let waiting: Uint8Array[] = [];
  let size = 0;
  for await (const item of items) {
    throwIfAborted(options.signal);
    for (const chunk of partsOf(item, options.checksTimes ?? true)) {
      waiting.push(chunk);
      size += chunk.length;
      options.onBytes?.(chunk.length);
      if (size < BATCH_BYTES) continue;
      yield Buffer.concat(waiting);
      waiting = [];
      size = 0;
    }
  }
  yield Buffer.concat([...waiting, TAR_END]);
}

function* partsOf(item: TarItem, checksTimes: boolean): Generator<Uint8Array> {
  const owner = { uid: 0, gid: 0 };
  if (item.kind === "directory") {
    const name = toBytes(item.name);
    yield tarHeader({ ...owner, type: "directory", name, mode: 0o755, size: 0, ...now() });
  } else if (item.kind === "bytes") {
    const { bytes } = item;
    const time =
      item.mtime_s === undefined ? now() : { mtime_s: item.mtime_s, mtime_ns: item.mtime_ns ?? 0 };
    const name = toBytes(item.name);
    yield tarHeader({ ...owner, type: "file", name, mode: 0o644, size: bytes.length, ...time });
    yield bytes;
    yield tarPadding(bytes.length);
  } else if (typeOf(item.entry) === TYPE_SYMLINK) {
    const { name, target = "", mtime_s, mtime_ns } = item.entry;
    const linkName = toBytes(target);
    const times = { mtime_s, mtime_ns };
    yield tarHeader({
      ...owner,
      type: "symlink",
      name: toBytes(name),
      linkName,
      mode: 0o777,
      size: 0,
      ...times,
    });
  } else {
    yield* fileParts(item, checksTimes);
  }
}

function* fileParts({ path, entry }: HostFile, checksTimes: boolean): Generator<Uint8Array> {
  const { name, mode, size, mtime_s, mtime_ns } = entry;
  const fd = openFile(path, name);
  try {
    if (!fstatSync(fd).isFile()) throw changed(name);
    yield tarHeader({
      ...{ type: "file", name: toBytes(name), mode: mode & 0o777, size },
      ...{ uid: 0, gid: 0, mtime_s, mtime_ns },
    });
    for (let at = 0; at < size; ) {
      const chunk = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, size - at));
      const count = readSync(fd, chunk, 0, chunk.length, at);
      if (count === 0) throw changed(name);
      at += count;
      yield chunk.subarray(0, count);
    }
    yield tarPadding(size);
    const after = fstatSync(fd, { bigint: true });
    const isSame =
      Number(after.size) === size &&
      after.mtimeNs === BigInt(mtime_s) * 1_000_000_000n + BigInt(mtime_ns);
    if (checksTimes && !isSame) throw changed(name);
  } finally {
    closeSync(fd);
  }
}

function openFile(path: Buffer | string, name: string): number {
  try {
    return openSync(path, OPEN);
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === "ENOENT" || errno === "ELOOP" || errno === "ENOTDIR") throw changed(name);
    if (errno !== "EACCES") throw error;
    throw new BangerError(
      "permission_denied",
      `Cannot read "${shownName(name)}": permission denied`,
    );
  }
}

function changed(name: string): BangerError {
  return new BangerError(
    "conflict",
    `Cannot import "${shownName(name)}": it changed while it was read`,
    {
      hint: "Run the command again when no program writes to it",
    },
  );
}

function now() {
  return { mtime_s: Math.floor(Date.now() / 1000), mtime_ns: 0 };
}
