/**
 * Creates a work seed, the initial content of /root in new machines: a read-only ext4 with only "/root", made from a
 * directory, a tar or an ext4 file, and mounted as an overlay layer over the image.
 */
import { closeSync, lstatSync, openSync, readdirSync, readlinkSync, rmSync } from "node:fs";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { throwIfAborted } from "#base/abort.ts";
import { compressionOf } from "#base/compression.ts";
import { decompress } from "#base/decompress.ts";
import { sha256 } from "#base/digest.ts";
import { BangerError, toBangerError } from "#base/error.ts";
import { readChunks, readSized } from "#base/files/chunks.ts";
import { statGivenFile } from "#base/files/given-path.ts";
import type { OnProgress } from "#base/progress.ts";
import { formatSize, GiB } from "#base/size.ts";
import { superblock } from "#ext4/format.ts";
import { openExt4 } from "#ext4/read/reader.ts";
import { ROOT_NODE } from "#ext4/write/tree.ts";
import { Ext4Writer } from "#ext4/write/writer.ts";
import { exportTar } from "#images/export/tar.ts";
import { LayerApplier } from "#images/rootfs/apply.ts";
import { hasDots } from "#images/rootfs/path.ts";
import { shown, type TarEntry } from "#tar/entry.ts";
import { type TarHandler, TarReader } from "#tar/reader.ts";
import { TAR_END, tarHeader, tarPadding, tarTime } from "#tar/write.ts";
import { readStart } from "./inspect.ts";

const HOME = Buffer.from("root");
const BYTES_MAX = 64 * GiB;
const ENTRIES_MAX = 1_000_000;
const HEAD_BYTES = superblock.OFFSET + superblock.BYTES;

export interface WorkSeedOptions {
  /** Path of the ext4 file, which must not exist. */
  path: string;
  signal?: AbortSignal | undefined;
  onProgress?: OnProgress | undefined;
}

/**
 * Files of a directory belong to root in the machine; a tar and an ext4 file keep their owners. `not_found`,
 * `integrity` for any other file. Leaves nothing behind on failure.
 */
export async function makeWorkSeed(source: string, options: WorkSeedOptions): Promise<void> {
  const isFolder = lstatSync(source, { throwIfNoEntry: false })?.isDirectory() ?? false;
  if (!isFolder) statGivenFile(source, "a work seed");
  options.onProgress?.({ step: "work-seed", message: `Reading work seed ${source}` });
  try {
    const fd = openSync(options.path, "wx", 0o600);
    try {
      await fill(fd, tarOf(source, options.signal), { ...options, source });
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    rmSync(options.path, { force: true });
    const { code, message, hint } = toBangerError(error);
    throw new BangerError(code, `Cannot use "${source}" as a work seed: ${message}`, {
      hint,
      cause: error,
    });
  }
}

async function fill(
  fd: number,
  tar: AsyncIterable<Uint8Array>,
  options: WorkSeedOptions & { source: string },
): Promise<void> {
  const writer = new Ext4Writer(fd, { seed: sha256(options.source), label: "work-seed" });
  const time = { mtime_s: 0, mtime_ns: 0 };
  writer.tree.setAttributes(ROOT_NODE, { mode: 0o755, uid: 0, gid: 0, ...time });
  writer.createDirectory(ROOT_NODE, HOME, { mode: 0o700, uid: 0, gid: 0, ...time });
  const limits = { counts: { entries: 0, xattrs_bytes: 0 }, entriesMax: ENTRIES_MAX };
  const reader = new TarReader(withPrefix(new LayerApplier(writer, 1, limits)));
  let done = 0;
  try {
    for await (const chunk of tar) {
      throwIfAborted(options.signal);
      done += chunk.length;
      if (done > BYTES_MAX) {
        throw new BangerError("limit_exceeded", `larger than ${formatSize(BYTES_MAX)}`);
      }
      reader.push(chunk);
      await writer.drain();
      options.onProgress?.({
        step: "work-seed",
        message: "Reading work seed",
        done,
        unit: "bytes",
      });
    }
    reader.finish();
    // A path through a symbolic link could leave /root and shadow the image's files.
    if (writer.tree.children(ROOT_NODE).length !== 1) {
      throw new BangerError("integrity", "a path leaves the archive");
    }
    await writer.finish({ signal: options.signal });
  } finally {
    await writer.settle();
  }
}

/** Puts every entry below "root/". */
function withPrefix(handler: TarHandler): TarHandler {
  const place = (name: Uint8Array): Uint8Array => {
    if (hasDots(name)) {
      throw new BangerError("integrity", `path ${shown(name)} leaves the archive`);
    }
    return Buffer.concat([HOME, Buffer.from("/"), name]);
  };
  return {
    entry(entry: TarEntry): void {
      const linkName = entry.type === "link" ? place(entry.linkName) : entry.linkName;
      handler.entry({ ...entry, name: place(entry.name), linkName });
    },
    data: (bytes, offset) => handler.data(bytes, offset),
    end: () => handler.end(),
  };
}

async function* tarOf(source: string, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
  const stat = lstatSync(source, { throwIfNoEntry: false });
  if (stat?.isDirectory()) {
    yield* folderTar(source, signal);
    return;
  }
  const head = readStart(source, HEAD_BYTES);
  const hasMagic = head.length === HEAD_BYTES;
  if (hasMagic && head.readUInt16LE(superblock.OFFSET + superblock.MAGIC_AT) === superblock.MAGIC) {
    using reader = openExt4(source);
    yield* exportTar(reader, { signal });
    return;
  }
  const kind = compressionOf(head);
  const raw = readChunks(source, { signal });
  if (kind === "gzip") yield* decompress(createGunzip(), raw);
  else if (kind === "zstd") yield* decompress(createZstdDecompress(), raw);
  else yield* raw;
}

/** Files, directories, symbolic links and hard links, sorted by name. */
async function* folderTar(
  root: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  const firstNames = new Map<string, Uint8Array>();
  const stack: Buffer[] = [Buffer.from(".")];
  for (let name = stack.pop(); name; name = stack.pop()) {
    throwIfAborted(signal);
    const path = Buffer.concat([Buffer.from(`${root}/`), name]);
    const stat = lstatSync(path, { bigint: true });
    const fields = {
      name,
      mode: Number(stat.mode) & 0o7777,
      uid: 0,
      gid: 0,
      size: 0,
      ...tarTime(stat.mtimeNs),
    };
    const key = `${stat.dev}:${stat.ino}`;
    const first = firstNames.get(key);
    if (stat.isDirectory()) {
      yield tarHeader({ ...fields, type: "directory" });
      const below = readdirSync(path, { encoding: "buffer" }) as Buffer[];
      below.sort((a, b) => Buffer.compare(b, a));
      const prefix = Buffer.concat([name, Buffer.from("/")]);
      for (const each of below) stack.push(Buffer.concat([prefix, each]));
    } else if (first) {
      yield tarHeader({ ...fields, type: "link", linkName: first });
    } else if (stat.isSymbolicLink()) {
      const linkName = readlinkSync(path, { encoding: "buffer" }) as Buffer;
      yield tarHeader({ ...fields, type: "symlink", linkName });
    } else if (stat.isFile()) {
      if (stat.nlink > 1n) firstNames.set(key, name);
      const size = Number(stat.size);
      yield tarHeader({ ...fields, type: "file", size });
      yield* readSized(path, size);
      yield tarPadding(size);
    }
  }
  yield TAR_END;
}
