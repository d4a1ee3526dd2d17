/**
 * The cache of blobs by digest: `<dir>/sha256/<hex>` is a whole blob that hashed right when
 * it was stored, `<hex>.partial` what has arrived of one so far. Nothing is synced to disk:
 * every read hashes again, and a blob that a power cut has spoiled is fetched anew.
 */
import type { Stats } from "node:fs";
import { mkdir, readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { throwIfAborted } from "#base/abort.ts";
import { type Digest, hexOf, sha256, shortDigest } from "#base/digest.ts";
import { BangerError, errnoOf } from "#base/error.ts";
import { writeFileAtomic } from "#base/files/atomic.ts";
import { readChunks } from "#base/files/chunks.ts";
import { type BlobSource, type Download, joinDownload, type OnAdvance } from "./download.ts";
import { type Expected, verified } from "./verify.ts";

export interface BlobStore {
  has(blob: Expected): Promise<boolean>;
  /** The bytes, from the cache or through it from the source. Ends with `integrity` unless they are right. */
  stream(blob: Expected, options: StreamOptions): AsyncGenerator<Uint8Array>;
  /** Brings the blob into the cache. */
  prefetch(blob: Expected, options: StreamOptions): Promise<void>;
  /** A small blob that is in the cache already, undefined if it is not. */
  readBytes(digest: Digest, max_bytes: number): Promise<Uint8Array | undefined>;
  writeBytes(bytes: Uint8Array): Digest;
}

export interface StreamOptions {
  source: BlobSource;
  signal: AbortSignal;
  onAdvance?: OnAdvance | undefined;
  retryDelay_ms?: number | undefined;
}

export function openBlobStore(dir: string): BlobStore {
  const folder = join(dir, "sha256");

  function pathOf(digest: Digest): string {
    return join(folder, hexOf(digest));
  }

  async function has({ digest, size }: Expected): Promise<boolean> {
    const found = await statIfThere(pathOf(digest));
    return found?.isFile() === true && found.size === size;
  }

  /** Undefined when another process has finished the blob meanwhile. */
  async function startDownload(
    blob: Expected,
    options: StreamOptions,
  ): Promise<Download | undefined> {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const download = await joinDownload(pathOf(blob.digest), {
      blob,
      source: options.source,
      isFinished: () => has(blob),
      retryDelay_ms: options.retryDelay_ms,
    });
    try {
      if (!(await download.isElsewhere(options.signal))) return download;
    } catch (error) {
      await download.leave();
      throw error;
    }
    await download.leave();
    return undefined;
  }

  async function* streamCached(blob: Expected, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    const path = pathOf(blob.digest);
    try {
      yield* verified(readChunks(path, { signal }), blob);
    } catch (error) {
      if (!(error instanceof BangerError) || error.code !== "integrity") throw error;
      await rm(path, { force: true });
      throw new BangerError(
        "integrity",
        `Cannot use blob ${shortDigest(blob.digest)} from the cache: corrupt on disk`,
        { hint: "Run the same command again: the corrupt copy was deleted", cause: error },
      );
    }
  }

  return {
    has,
    async *stream(blob, options) {
      const { signal, onAdvance } = options;
      while (!(await has(blob))) {
        throwIfAborted(signal);
        const download = await startDownload(blob, options);
        if (!download) continue;
        const stop = onAdvance && download.listen(onAdvance);
        try {
          return yield* download.read(signal);
        } finally {
          stop?.();
          await download.leave();
        }
      }
      onAdvance?.(blob.size);
      yield* streamCached(blob, signal);
    },
    async prefetch(blob, options) {
      if (await has(blob)) return;
      const download = await startDownload(blob, options);
      if (!download) return;
      const stop = options.onAdvance && download.listen(options.onAdvance);
      try {
        await download.waitUntilEnded(options.signal);
      } finally {
        stop?.();
        await download.leave();
      }
    },
    async readBytes(digest, max_bytes) {
      const path = pathOf(digest);
      const found = await statIfThere(path);
      if (!found?.isFile() || found.size > max_bytes) return undefined;
      const bytes = await readFile(path);
      if (sha256(bytes) === digest) return bytes;
      await rm(path, { force: true });
      return undefined;
    },
    writeBytes(bytes) {
      const digest = sha256(bytes);
      writeFileAtomic(pathOf(digest), bytes);
      return digest;
    },
  };
}

async function statIfThere(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
}
