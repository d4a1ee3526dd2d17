/** Copies sparse files without reading their holes; shares the blocks where the file system can. */
import { constants, copyFileSync, rmSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { errnoOf, throwIfAborted, toBangerError } from "#base/error.ts";
import { MiB } from "#base/size.ts";
import { dataParts } from "./data-parts.ts";

const CHUNK_BYTES = MiB;

/** Copies to `to`, which must not exist, mode 0600. Nothing is left of a failure. */
export async function copySparse(from: string, to: string, signal?: AbortSignal): Promise<void> {
  if (reflink(from, to)) return;
  const source = await open(from, "r");
  try {
    const target = await open(to, "wx", 0o600);
    try {
      await copyParts(source, target, signal);
    } catch (error) {
      rmSync(to, { force: true });
      throw toBangerError(error);
    } finally {
      await target.close();
    }
  } finally {
    await source.close();
  }
}

async function copyParts(
  source: FileHandle,
  target: FileHandle,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { size } = await source.stat();
  await target.truncate(size);
  const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
  for (const { offset, length } of dataParts(source.fd) ?? [{ offset: 0, length: size }]) {
    for (let at = offset; at < offset + length; ) {
      throwIfAborted(signal);
      const wanted = Math.min(CHUNK_BYTES, offset + length - at);
      const { bytesRead } = await source.read(buffer, 0, wanted, at);
      if (bytesRead === 0) return;
      await writeAll(target, buffer.subarray(0, bytesRead), at);
      at += bytesRead;
    }
  }
}

async function writeAll(target: FileHandle, bytes: Buffer, offset: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await target.write(bytes, done, bytes.length - done, offset + done);
    done += bytesWritten;
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
