/** Downloads files of known size and digest from a web server, through the blob cache so that they can resume. */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { type Digest, hexOf } from "#base/digest.ts";
import { BangerError } from "#base/error.ts";
import { copyHashed, hashFile, tryLink } from "#base/files/copy-file.ts";
import { readRange } from "#http/download.ts";
import { parseHttpUrl } from "#http/url.ts";
import { BlobStore } from "./blobs.ts";
import type { OnAdvance } from "./download.ts";
import { checkDigest, type Expected } from "./verify.ts";

export interface HttpFile {
  url: string;
  sha256: Digest;
  size_bytes: number;
}

export interface StreamOptions {
  /** Directory of the blob cache, where an interrupted download resumes. */
  cache: string;
  signal?: AbortSignal | undefined;
  onAdvance?: OnAdvance | undefined;
  /** Wait before the second attempt. Default 250. */
  retryDelay_ms?: number | undefined;
}

/** The bytes as they arrive. Throws `integrity` on a mismatch of size or digest. */
export function streamHttpFile(file: HttpFile, options: StreamOptions): AsyncGenerator<Uint8Array> {
  return new BlobStore(options.cache).stream(blobOf(file), through(file, options));
}

/** Downloads to `path`, which must not exist, and removes the blob from the cache. */
export async function fetchHttpFile(
  file: HttpFile,
  { path, ...options }: StreamOptions & { path: string },
): Promise<void> {
  const store = new BlobStore(options.cache);
  const blob = blobOf(file);
  const isOld = await store.has(blob);
  await store.prefetch(blob, through(file, options));
  const cached = join(options.cache, "sha256", hexOf(blob.digest));
  if (!tryLink(cached, path)) await copyHashed(cached, path, options);
  await rm(cached, { force: true });
  // A new download was verified as it arrived.
  if (isOld) checkDigest(await hashFile(path, options), blob);
}

function blobOf({ sha256: digest, size_bytes: size }: HttpFile): Expected {
  return { digest, size };
}

function through(file: HttpFile, options: StreamOptions) {
  const url = parseHttpUrl(file.url);
  const action = `download "${url.href}"`;
  const wrongSize = (actual_bytes: number): BangerError =>
    new BangerError(
      "integrity",
      `Cannot ${action}: it has ${actual_bytes} bytes where the catalog says ${file.size_bytes}`,
      { hint: 'For a kernel, update the catalog with "banger kernel catalog update"' },
    );
  const expected = { size: file.size_bytes, wrongSize };
  return {
    source: {
      getBlob: (_: Expected, part: { offset: number; signal: AbortSignal }) =>
        readRange({ url, action, expected, ...part }),
    },
    signal: options.signal ?? new AbortController().signal,
    onAdvance: options.onAdvance,
    retryDelay_ms: options.retryDelay_ms,
  };
}
