/** Large files copied without copying what need not be: shared blocks where the file system can, holes kept where it cannot. */
import { createHash, type Hash } from "node:crypto";
import { constants, copyFileSync, linkSync, rmSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { throwIfAborted } from "#base/abort.ts";
import type { Digest } from "#base/digest.ts";
import { errnoOf, toBangerError } from "#base/error.ts";
import { KiB, MiB } from "#base/size.ts";
import { dataParts, nonZeroParts } from "./sparse.ts";

const CHUNK_BYTES = MiB;
/** Runs of zeros shorter than this are written. */
const HOLE_BYTES = 16 * KiB;

export interface CopyOptions {
  signal?: AbortSignal | undefined;
  /** Called with the bytes that have been read. */
  onAdvance?: ((done_bytes: number) => void) | undefined;
}

/** Copies to `to`, which must not exist, mode 0600, without reading holes. Nothing is left of a failure. */
export async function copySparse(
  from: string,
  to: string,
  options: CopyOptions = {},
): Promise<void> {
  if (reflink(from, to)) return;
  await copyContent(from, to, (source, target) => copyParts(source, target, options));
}

/** The same, for a file that may hold zeros instead of holes; gives the hash of the content. */
export async function copyHashed(
  from: string,
  to: string,
  options: CopyOptions = {},
): Promise<Digest> {
  if (!reflink(from, to)) {
    const hash = createHash("sha256");
    await copyContent(from, to, async (source, target) => {
      for await (const { offset, bytes } of readAll(source, options)) {
        hash.update(bytes);
        await writeNonZero(target, bytes, offset);
      }
    });
    return digestOf(hash);
  }
  try {
    return await hashFile(to, options);
  } catch (error) {
    rmSync(to, { force: true });
    throw error;
  }
}

export async function hashFile(path: string, options: CopyOptions = {}): Promise<Digest> {
  await using file = await open(path, "r");
  const hash = createHash("sha256");
  for await (const { bytes } of readAll(file, options)) hash.update(bytes);
  return digestOf(hash);
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

/** Shares the blocks of the file; false where the file system cannot. EEXIST when `to` is there. */
export function reflink(from: string, to: string): boolean {
  try {
    copyFileSync(from, to, constants.COPYFILE_FICLONE_FORCE | constants.COPYFILE_EXCL);
    return true;
  } catch (error) {
    if (errnoOf(error) === "EEXIST") throw error;
    rmSync(to, { force: true });
    return false;
  }
}

async function copyContent(
  from: string,
  to: string,
  copy: (source: FileHandle, target: FileHandle) => Promise<void>,
): Promise<void> {
  await using source = await open(from, "r");
  await using target = await open(to, "wx", 0o600);
  try {
    await target.truncate((await source.stat()).size);
    await copy(source, target);
  } catch (error) {
    rmSync(to, { force: true });
    throw toBangerError(error);
  }
}

async function copyParts(
  source: FileHandle,
  target: FileHandle,
  options: CopyOptions,
): Promise<void> {
  const { size } = await source.stat();
  for (const { offset, length } of dataParts(source.fd) ?? [{ offset: 0, length: size }]) {
    for await (const piece of readAll(source, { ...options, offset, end: offset + length })) {
      await writeAll(target, piece.bytes, piece.offset);
    }
  }
}

/** Up to `end`, or to the end of the file; each piece is good until the next. */
async function* readAll(
  file: FileHandle,
  options: CopyOptions & { offset?: number; end?: number },
): AsyncGenerator<{ offset: number; bytes: Uint8Array }> {
  const { end = Number.POSITIVE_INFINITY } = options;
  const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
  for (let offset = options.offset ?? 0; offset < end; ) {
    throwIfAborted(options.signal);
    const wanted = Math.min(CHUNK_BYTES, end - offset);
    const { bytesRead } = await file.read(buffer, 0, wanted, offset);
    if (bytesRead === 0) return;
    yield { offset, bytes: buffer.subarray(0, bytesRead) };
    offset += bytesRead;
    options.onAdvance?.(offset);
  }
}

async function writeNonZero(target: FileHandle, bytes: Uint8Array, position: number) {
  for (const [start, end] of nonZeroParts(bytes, { position, hole_bytes: HOLE_BYTES })) {
    await writeAll(target, bytes.subarray(start, end), position + start);
  }
}

async function writeAll(target: FileHandle, bytes: Uint8Array, offset: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await target.write(bytes, done, bytes.length - done, offset + done);
    done += bytesWritten;
  }
}

function digestOf(hash: Hash): Digest {
  return `sha256:${hash.digest("hex")}` as Digest;
}
