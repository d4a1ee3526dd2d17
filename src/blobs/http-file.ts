/** Files of known size and digest on a web server, for the machinery that resumes transfers. */
import type { Digest } from "#base/digest.ts";
import { BangerError } from "#base/error.ts";
import { discard } from "#http/body.ts";
import { statusFailure, TransferError } from "#http/failure.ts";
import { networkFailure, send } from "#http/transport.ts";
import { parseHttpUrl } from "#http/url.ts";
import { startWatchdog } from "#http/watchdog.ts";
import { openBlobStore } from "./blobs.ts";
import type { BlobSource, OnAdvance } from "./download.ts";
import type { Expected } from "./verify.ts";

const STALL_TIMEOUT_MS = 30_000;

export interface HttpFile {
  url: string;
  sha256: Digest;
  size_bytes: number;
}

export interface StreamOptions {
  /** Folder for what has arrived; a transfer that was cut goes on from there. */
  cache: string;
  signal?: AbortSignal | undefined;
  onAdvance?: OnAdvance;
  /** Wait before the second attempt. Default 250. */
  retryDelay_ms?: number | undefined;
}

/** The bytes as they arrive. Ends with `integrity` unless size and digest are right. */
export function streamHttpFile(file: HttpFile, options: StreamOptions): AsyncGenerator<Uint8Array> {
  const blob = { digest: file.sha256, size: file.size_bytes };
  return openBlobStore(options.cache).stream(blob, {
    source: { getBlob: (wanted, at) => readFrom(file.url, wanted, at) },
    signal: options.signal ?? new AbortController().signal,
    onAdvance: options.onAdvance,
    retryDelay_ms: options.retryDelay_ms,
  });
}

async function* readFrom(
  address: string,
  blob: Expected,
  { offset, signal }: Parameters<BlobSource["getBlob"]>[1],
): AsyncGenerator<Uint8Array> {
  const url = parseHttpUrl(address);
  using watchdog = startWatchdog(STALL_TIMEOUT_MS, { what: `from "${url.host}"`, signal });
  const headers: Record<string, string> = offset > 0 ? { range: `bytes=${offset}-` } : {};
  const { response } = await send({ url, headers, signal: watchdog.signal });
  watchdog.progress(Number.POSITIVE_INFINITY);
  const skipped = await checkAnswer(response, { url, blob, offset });
  try {
    let left = skipped;
    for await (const chunk of response.body ?? []) {
      watchdog.progress(chunk.length);
      if (left < chunk.length) yield left === 0 ? chunk : chunk.subarray(left);
      left = Math.max(0, left - chunk.length);
    }
  } catch (error) {
    throw networkFailure(error, url, watchdog.signal);
  }
}

/** How many bytes of the answer are here already, when the server does not heed Range. */
async function checkAnswer(
  response: Response,
  { url, blob, offset }: { url: URL; blob: Expected; offset: number },
): Promise<number> {
  const action = `download "${url.href}"`;
  if (response.status !== 200 && response.status !== 206) {
    throw await statusFailure(response, { action, host: url.host });
  }
  const isPart = response.status === 206;
  const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(response.headers.get("content-range") ?? "");
  const total = isPart ? range?.[2] : response.headers.get("content-length");
  const isWrongPart = isPart && Number(range?.[1]) !== offset;
  const isWrongSize = total && total !== "*" ? Number(total) !== blob.size : false;
  if (!isWrongPart && !isWrongSize) return isPart ? 0 : offset;
  await discard(response);
  if (isWrongPart) {
    throw new TransferError("unavailable", `Cannot ${action}: the server sends another part`);
  }
  throw new BangerError(
    "integrity",
    `Cannot ${action}: it has ${total} bytes where the catalog says ${blob.size}`,
    { hint: "Update the catalog: banger kernel catalog update" },
  );
}
