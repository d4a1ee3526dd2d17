/** Large files copied without copying what need not be: shared blocks where the file system can, holes kept where it cannot. */
import { createHash, type Hash } from "node:crypto";
import { linkSync, rmSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import type { Digest } from "#base/digest.ts";
import { errnoOf, throwIfAborted } from "#base/error.ts";
import { KiB, MiB } from "#base/size.ts";
import { reflink } from "./sparse-copy.ts";

const CHUNK_BYTES = MiB;
/** Runs of zeros shorter than this are written. */
const HOLE_BYTES = 16 * KiB;
const ZEROS = Buffer.alloc(HOLE_BYTES);

export interface CopyOptions {
  signal?: AbortSignal | undefined;
  /** Called with the bytes that have been read. */
  onAdvance?: ((done_bytes: number) => void) | undefined;
}

/** Copies to `to`, which must not exist, and gives the hash of the content. Nothing is left of a failure. */
export async function copyLarge(
  from: string,
  to: string,
  options: CopyOptions = {},
): Promise<Digest> {
  try {
    if (reflink(from, to)) return await hashFile(to, options);
    return await copySparse(from, to, options);
  } catch (error) {
    rmSync(to, { force: true });
    throw error;
  }
}

/** A second name for a file; false where that cannot be, as on another file system. */
export function tryLink(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if (["EXDEV", "EPERM", "EMLINK", "ENOTSUP"].includes(errnoOf(error) ?? "")) return false;
    throw error;
  }
}

export async function hashFile(path: string, options: CopyOptions = {}): Promise<Digest> {
  const file = await open(path, "r");
  try {
    const hash = createHash("sha256");
    for await (const _ of readAll(file, hash, options));
    return digestOf(hash);
  } finally {
    await file.close();
  }
}

async function copySparse(from: string, to: string, options: CopyOptions): Promise<Digest> {
  const source = await open(from, "r");
  try {
    const target = await open(to, "wx", 0o600);
    try {
      const hash = createHash("sha256");
      let end = 0;
      for await (const { offset, bytes } of readAll(source, hash, options)) {
        await writeParts(target, offset, bytes);
        end = offset + bytes.length;
      }
      await target.truncate(end);
      return digestOf(hash);
    } finally {
      await target.close();
    }
  } finally {
    await source.close();
  }
}

async function* readAll(
  file: FileHandle,
  hash: Hash,
  options: CopyOptions,
): AsyncGenerator<{ offset: number; bytes: Buffer }> {
  const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
  for (let offset = 0; ; ) {
    throwIfAborted(options.signal);
    const { bytesRead } = await file.read(buffer, 0, CHUNK_BYTES, offset);
    if (bytesRead === 0) return;
    const bytes = buffer.subarray(0, bytesRead);
    hash.update(bytes);
    yield { offset, bytes };
    offset += bytesRead;
    options.onAdvance?.(offset);
  }
}

async function writeParts(target: FileHandle, offset: number, bytes: Buffer): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    const end = dataEnd(bytes, at);
    if (end > at) await target.write(bytes, at, end - at, offset + at);
    at = Math.max(end, at);
    while (at < bytes.length && isHole(bytes, at)) at += HOLE_BYTES;
  }
}

/** Where the next hole begins. */
function dataEnd(bytes: Buffer, start: number): number {
  let at = start;
  while (at < bytes.length && !isHole(bytes, at)) at += HOLE_BYTES;
  return Math.min(at, bytes.length);
}

function isHole(bytes: Buffer, at: number): boolean {
  const piece = bytes.subarray(at, at + HOLE_BYTES);
  return piece.equals(ZEROS.subarray(0, piece.length));
}

function digestOf(hash: Hash): Digest {
  return `sha256:${hash.digest("hex")}` as Digest;
}
