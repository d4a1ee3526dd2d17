/**
 * The content-addressed cache of blobs: `<dir>/sha256/<hex>` is a complete blob, verified when it was stored, and
 * `<hex>.partial` an interrupted download. Nothing is synced to disk: every read verifies the digest, and a blob that
 * a power cut has damaged is downloaded again.
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

export interface StreamOptions {
  source: BlobSource;
  signal: AbortSignal;
  onAdvance?: OnAdvance | undefined;
  retryDelay_ms?: number | undefined;
}

export class BlobStore {
  readonly #directory: string;

  constructor(dir: string) {
    this.#directory = join(dir, "sha256");
  }

  async has({ digest, size }: Expected): Promise<boolean> {
    const found = await statIfThere(this.#pathOf(digest));
    return found?.isFile() === true && found.size === size;
  }

  /** The bytes, from the cache or through it from the source. Ends with `integrity` on a mismatch of digest or size. */
  async *stream(blob: Expected, options: StreamOptions): AsyncGenerator<Uint8Array> {
    const { signal, onAdvance } = options;
    while (!(await this.has(blob))) {
      throwIfAborted(signal);
      const download = await this.#startDownload(blob, options);
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
    yield* this.#streamCached(blob, signal);
  }

  /** Downloads the blob into the cache. */
  async prefetch(blob: Expected, options: StreamOptions): Promise<void> {
    if (await this.has(blob)) return;
    const download = await this.#startDownload(blob, options);
    if (!download) return;
    const stop = options.onAdvance && download.listen(options.onAdvance);
    try {
      await download.waitUntilEnded(options.signal);
    } finally {
      stop?.();
      await download.leave();
    }
  }

  /** A small blob from the cache; undefined if it is not cached. */
  async readBytes(digest: Digest, max_bytes: number): Promise<Uint8Array | undefined> {
    const path = this.#pathOf(digest);
    const found = await statIfThere(path);
    if (!found?.isFile() || found.size > max_bytes) return undefined;
    const bytes = await readFile(path);
    if (sha256(bytes) === digest) return bytes;
    await rm(path, { force: true });
    return undefined;
  }

  writeBytes(bytes: Uint8Array): Digest {
    const digest = sha256(bytes);
    writeFileAtomic(this.#pathOf(digest), bytes);
    return digest;
  }

  #pathOf(digest: Digest): string {
    return join(this.#directory, hexOf(digest));
  }

  /** Undefined when another process has completed the blob meanwhile. */
  async #startDownload(blob: Expected, options: StreamOptions): Promise<Download | undefined> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    const download = await joinDownload(this.#pathOf(blob.digest), {
      blob,
      source: options.source,
      isFinished: () => this.has(blob),
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

  async *#streamCached(blob: Expected, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    const path = this.#pathOf(blob.digest);
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
}

async function statIfThere(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
}
