/** Reads files of a machine's workspace into memory or a scratch directory; the input is untrusted. */
import { closeSync, mkdirSync, openSync, symlinkSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { BangerError } from "#base/error.ts";
import { formatSize, MiB } from "#base/size.ts";
import type { TarEntry } from "#tar/entry.ts";
import { TarReader } from "#tar/reader.ts";
import { toBytes } from "#workspace/names.ts";
import type { GuestPort } from "./port.ts";

/** Of one archive's request, which travels as arguments. */
const NAMES_MAX = 5000;
const NAMES_MAX_BYTES = 512 * 1024;
const SMALL_MAX_BYTES = 64 * MiB;

/** Small files by name; those that are missing or no regular files are left out. */
export async function readSmallFiles(
  guest: GuestPort,
  path: string,
  names: readonly string[],
): Promise<Map<string, Buffer>> {
  const found = new Map<string, Buffer>();
  const wanted = new Set(names);
  let size = 0;
  await receiveFiles(guest, { path, names }, (entry, name) => {
    if (entry.type !== "file" || !wanted.has(name)) return undefined;
    const parts: Buffer[] = [];
    size += entry.size;
    if (size > SMALL_MAX_BYTES) throw tooLarge(SMALL_MAX_BYTES);
    return {
      data: (bytes) => void parts.push(Buffer.from(bytes)),
      end: () => void found.set(name, Buffer.concat(parts)),
    };
  });
  return found;
}

/**
 * Writes files and symlinks below `folder`, under their names. Only names that were asked for are written, each once,
 * so that a symlink of the guest's is never a parent of another file.
 */
export async function fetchFiles(
  guest: GuestPort,
  request: { path: string; names: readonly string[]; folder: string; max_bytes: number },
): Promise<Set<string>> {
  const wanted = new Set(request.names);
  const got = new Set<string>();
  let left = request.max_bytes;
  await receiveFiles(guest, request, (entry, name) => {
    if (!wanted.has(name) || got.has(name)) return undefined;
    if (entry.type !== "file" && entry.type !== "symlink") return undefined;
    const path = Buffer.concat([Buffer.from(`${request.folder}/`), toBytes(name)]);
    mkdirSync(dirnameOf(path), { recursive: true });
    got.add(name);
    if (entry.type === "symlink") {
      symlinkSync(Buffer.from(entry.linkName), path);
      return undefined;
    }
    left -= entry.size;
    if (left < 0) throw tooLarge(request.max_bytes);
    const fd = openSync(path, "wx", entry.mode & 0o100 ? 0o755 : 0o644);
    return {
      data: (bytes, offset) => {
        for (let at = 0; at < bytes.length; )
          at += writeSync(fd, bytes, at, bytes.length - at, offset + at);
      },
      end: () => closeSync(fd),
    };
  });
  return got;
}

interface Taker {
  data(bytes: Uint8Array, offset: number): void;
  end(): void;
}

/** `begin` is called for each entry of the archive, with its name as bytes; what it returns takes the content. */
export async function receiveFiles(
  guest: GuestPort,
  { path, names }: { path: string; names: readonly string[] },
  begin: (entry: TarEntry, name: string) => Taker | undefined,
): Promise<void> {
  for (const batch of batches(names)) {
    let taker: Taker | undefined;
    const reader = new TarReader({
      entry(entry) {
        taker = begin(entry, nameOf(entry));
      },
      data: (bytes, offset) => taker?.data(bytes, offset),
      end() {
        taker?.end();
        taker = undefined;
      },
    });
    for await (const chunk of guest.archive(path, batch)) reader.push(chunk);
    reader.finish();
  }
}

function* batches(names: readonly string[]): Generator<string[]> {
  let batch: string[] = [];
  let size = 0;
  for (const name of names) {
    batch.push(name);
    size += name.length;
    if (batch.length < NAMES_MAX && size < NAMES_MAX_BYTES) continue;
    yield batch;
    [batch, size] = [[], 0];
  }
  if (batch.length > 0) yield batch;
}

function nameOf(entry: TarEntry): string {
  return Buffer.from(entry.name)
    .toString("latin1")
    .replace(/^(\.\/)+/, "");
}

function dirnameOf(path: Buffer): string | Buffer {
  const text = path.toString();
  if (Buffer.from(text).equals(path)) return dirname(text);
  return path.subarray(0, path.lastIndexOf(0x2f));
}

function tooLarge(max_bytes: number): BangerError {
  return new BangerError(
    "limit_exceeded",
    `Cannot read the workspace: its files are larger than ${formatSize(max_bytes)}`,
  );
}
