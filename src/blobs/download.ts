/**
 * The download of one blob into the cache, shared by all its readers in this process. It fills the partial file as
 * fast as network and disk allow, and each reader reads that file at its own offset. A slow reader therefore uses no
 * memory and delays no other reader.
 *
 * It is reference-counted: when the last user leaves early, the download stops, and the partial file stays for the
 * next attempt.
 */
import { createHash, type Hash } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import { dirname } from "node:path";
import { orAborted, throwIfAborted } from "#base/abort.ts";
import { BangerError, errnoOf, toBangerError } from "#base/error.ts";
import { assertRoom } from "#base/files/free-space.ts";
import { resumed } from "#http/download.ts";
import { openPartial, type Partial } from "./partial.ts";
import { Spool } from "./spool.ts";
import { checkDigest, type Expected, tooLong } from "./verify.ts";

export interface BlobSource {
  /** One attempt to read the blob from `offset`; a TransferError tells whether to retry. */
  getBlob(
    blob: Expected,
    options: { offset: number; signal: AbortSignal },
  ): AsyncIterable<Uint8Array>;
}

export interface DownloadOptions {
  source: BlobSource;
  isFinished: () => Promise<boolean>;
  retryDelay_ms?: number | undefined;
}

/** Called with the number of bytes available. */
export type OnAdvance = (done_bytes: number) => void;

/** Running downloads of this process, by the blob's final path. */
const running = new Map<string, Download>();

/** Starts a download to `path`, or joins the running one. Every user must call `leave`. */
export async function joinDownload(
  path: string,
  options: DownloadOptions & { blob: Expected },
): Promise<Download> {
  for (;;) {
    const other = running.get(path);
    if (!other) return new Download(path, options);
    if (other.join(options.blob)) return other;
    await other.ended;
  }
}

export class Download {
  /** Resolves when the download has ended, successfully or not. */
  readonly ended: Promise<void>;
  readonly #path: string;
  readonly #blob: Expected;
  readonly #options: DownloadOptions;
  readonly #controller = new AbortController();
  readonly #listeners = new Set<OnAdvance>();
  #users = 1;
  #file: FileHandle | undefined;
  #spool: Spool | undefined;
  #outcome: { isElsewhere: boolean } | { error: BangerError } | undefined;
  #change = Promise.withResolvers<void>();

  constructor(path: string, options: DownloadOptions & { blob: Expected }) {
    this.#path = path;
    this.#blob = options.blob;
    this.#options = options;
    running.set(path, this);
    this.ended = this.#run();
  }

  /** False when the download is being cancelled, or expects a different size. */
  join(blob: Expected): boolean {
    if (this.#controller.signal.aborted || blob.size !== this.#blob.size) return false;
    this.#users++;
    return true;
  }

  /** The last user waits until the download has stopped and its files are closed. */
  async leave(): Promise<void> {
    this.#users--;
    if (this.#users > 0) return;
    if (!this.#outcome) this.#controller.abort();
    await this.ended;
    this.#close();
  }

  /** Calls `onAdvance` until the returned function is called. */
  listen(onAdvance: OnAdvance): () => void {
    this.#listeners.add(onAdvance);
    onAdvance(this.#size_bytes);
    return () => this.#listeners.delete(onAdvance);
  }

  /** True when another process has completed the blob: read it from the cache instead. */
  async isElsewhere(signal: AbortSignal): Promise<boolean> {
    while (!this.#outcome && !this.#spool) await this.#changed(signal);
    return (
      this.#outcome !== undefined && "isElsewhere" in this.#outcome && this.#outcome.isElsewhere
    );
  }

  /** Throws the download's error, if it failed. */
  async waitUntilEnded(signal: AbortSignal): Promise<void> {
    while (!this.#outcome) await this.#changed(signal);
    if ("error" in this.#outcome) throw this.#outcome.error;
  }

  /** The bytes as they arrive. Ends only after size and digest are verified. */
  async *read(signal: AbortSignal): AsyncGenerator<Uint8Array> {
    let offset = 0;
    for (;;) {
      throwIfAborted(signal);
      if (this.#spool && offset < this.#size_bytes) {
        const chunk = await this.#spool.read(offset);
        offset += chunk.length;
        yield chunk;
        continue;
      }
      if (this.#outcome) {
        if ("error" in this.#outcome) throw this.#outcome.error;
        return;
      }
      await this.#changed(signal);
    }
  }

  async #run(): Promise<void> {
    try {
      this.#outcome = { isElsewhere: !(await this.#transfer()) };
    } catch (error) {
      this.#outcome = { error: toDownloadError(error) };
    }
    running.delete(this.#path);
    this.#announce();
    this.#close();
  }

  /** False when another process has completed the blob. */
  async #transfer(): Promise<boolean> {
    const { signal } = this.#controller;
    const partial = await openPartial(this.#path, { isFinished: this.#options.isFinished, signal });
    if (!partial) return false;
    this.#file = partial.file;
    try {
      const hash = createHash("sha256");
      const spool = await this.#takeOver(partial, hash);
      const missing_bytes = this.#blob.size - spool.size_bytes;
      assertRoom(dirname(this.#path), missing_bytes, "Cannot write to the blob cache");
      await this.#fetchRest(spool, hash);
      checkDigest(`sha256:${hash.digest("hex")}`, this.#blob);
      await partial.commit();
      return true;
    } catch (error) {
      await partial.leave({ isKept: this.#size_bytes > 0 && !isSpoiled(error) });
      throw error;
    }
  }

  /** Hashes the bytes of an earlier attempt and makes them available to readers. */
  async #takeOver(partial: Partial, hash: Hash): Promise<Spool> {
    const isUsable = partial.size <= this.#blob.size;
    if (!isUsable) await partial.file.truncate(0);
    const spool = new Spool(partial.file, isUsable ? partial.size : 0);
    for (let offset = 0; offset < spool.size_bytes; ) {
      throwIfAborted(this.#controller.signal);
      const chunk = await spool.read(offset);
      hash.update(chunk);
      offset += chunk.length;
    }
    this.#spool = spool;
    this.#announce();
    return spool;
  }

  async #fetchRest(spool: Spool, hash: Hash): Promise<void> {
    const { signal } = this.#controller;
    const { source, retryDelay_ms: delay_ms } = this.#options;
    const { size } = this.#blob;
    const options = { start: spool.size_bytes, size, signal, delay_ms };
    const attempt = (offset: number) => source.getBlob(this.#blob, { offset, signal });
    try {
      for await (const chunk of resumed(attempt, options)) {
        if (spool.size_bytes + chunk.length > size) throw tooLong(this.#blob);
        hash.update(chunk);
        await spool.append(chunk);
        this.#announce();
      }
    } finally {
      await spool.flush();
    }
  }

  get #size_bytes(): number {
    return this.#spool?.size_bytes ?? 0;
  }

  #announce(): void {
    for (const listener of this.#listeners) listener(this.#size_bytes);
    this.#change.resolve();
    this.#change = Promise.withResolvers<void>();
  }

  #changed(signal: AbortSignal): Promise<void> {
    return orAborted(this.#change.promise, signal);
  }

  #close(): void {
    if (this.#users > 0 || !this.#outcome) return;
    const file = this.#file;
    this.#file = undefined;
    file?.close().catch(() => undefined);
  }
}

/** Whether the partial file is corrupt, or its space is needed. */
function isSpoiled(error: unknown): boolean {
  const isWrong = error instanceof BangerError && ["integrity", "no_space"].includes(error.code);
  return isWrong || ["ENOSPC", "EDQUOT"].includes(errnoOf(error) ?? "");
}

function toDownloadError(error: unknown): BangerError {
  const errno = errnoOf(error);
  if (errno !== "ENOSPC" && errno !== "EDQUOT") return toBangerError(error);
  return new BangerError("no_space", "Cannot write to the blob cache: no space left on device", {
    hint: "Free disk space, for example with: banger image gc",
    cause: error,
  });
}
