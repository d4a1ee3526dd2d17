/** An image of the catalog that lies at an address as an OCI archive: fetched, and verified before anybody looks inside. */
import { createHash } from "node:crypto";
import { closeSync, openSync, writeSync } from "node:fs";
import type { Digest } from "#base/digest.ts";
import { BangerError } from "#base/error.ts";
import type { OnProgress } from "#base/progress.ts";
import { checkDigest, tooLong, tooShort } from "#blobs/verify.ts";
import { statusFailure } from "#http/failure.ts";
import { withRetries } from "#http/retry.ts";
import { networkFailure, send } from "#http/transport.ts";
import { startWatchdog } from "#http/watchdog.ts";

const STALL_TIMEOUT_MS = 30_000;

export interface BundleOptions {
  /** Where the archive goes; the caller removes it. */
  path: string;
  signal?: AbortSignal | undefined;
  onProgress?: OnProgress | undefined;
}

/** `integrity` when it is not what the catalog says; `unavailable`, `not_found`, `no_space`. */
export async function fetchBundle(
  source: { url: string; sha256: string; size_bytes: number },
  options: BundleOptions,
): Promise<void> {
  const signal = options.signal ?? new AbortController().signal;
  await withRetries(() => fetchOnce(source, { ...options, signal }), { signal });
}

async function fetchOnce(
  source: { url: string; sha256: string; size_bytes: number },
  options: BundleOptions & { signal: AbortSignal },
): Promise<void> {
  const url = new URL(source.url);
  const expected = { digest: source.sha256 as Digest, size: source.size_bytes };
  using watchdog = startWatchdog(STALL_TIMEOUT_MS, {
    what: `from "${url.host}"`,
    signal: options.signal,
  });
  const { response } = await send({ url, signal: watchdog.signal });
  if (response.status !== 200) {
    throw await statusFailure(response, { action: `fetch ${source.url}`, host: url.host });
  }
  if (!response.body) throw new BangerError("unavailable", `Cannot fetch ${source.url}: no body`);
  const hash = createHash("sha256");
  let done = 0;
  const fd = openSync(options.path, "w", 0o600);
  try {
    for await (const chunk of response.body) {
      watchdog.progress(chunk.length);
      done += chunk.length;
      if (done > expected.size) throw tooLong(expected);
      hash.update(chunk);
      for (let at = 0; at < chunk.length; ) at += writeSync(fd, chunk, at);
      options.onProgress?.({
        step: "bundle",
        message: `Downloading ${url.pathname.split("/").at(-1)}`,
        done,
        total: expected.size,
        unit: "bytes",
      });
    }
  } catch (error) {
    throw isOfDisk(error) ? error : networkFailure(error, url, watchdog.signal);
  } finally {
    closeSync(fd);
  }
  if (done < expected.size) throw tooShort(expected, done);
  checkDigest(`sha256:${hash.digest("hex")}`, expected);
}

function isOfDisk(error: unknown): boolean {
  return error instanceof Error && "syscall" in error && error.syscall === "write";
}
