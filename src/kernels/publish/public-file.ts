/** Verifies a published file at its public URL. */
import { createHash } from "node:crypto";
import type { Digest } from "#base/digest.ts";
import { BangerError, type ErrorCode } from "#base/error.ts";
import type { HttpFile } from "#blobs/http-file.ts";
import { askHead, readRange, resumed } from "#http/download.ts";
import { statusFailure } from "#http/failure.ts";
import { parseHttpUrl } from "#http/url.ts";
import type { TransferWork } from "./destination.ts";

/** Checks the size, then downloads and hashes the file. `integrity` if it differs. */
export async function checkPublicFile(file: HttpFile, work: TransferWork): Promise<void> {
  const url = parseHttpUrl(file.url);
  const size = await publicSize(url, work.signal).catch((cause) => {
    if (!(cause instanceof BangerError) || cause.code !== "not_found") throw cause;
    throw wrong(file.url, "uploaded, but not found there", { code: cause.code, cause });
  });
  if (size !== undefined && size !== file.size_bytes) {
    throw wrong(file.url, `it has ${size} bytes, ${file.size_bytes} were uploaded`);
  }
  const digest = await publicDigest(file, work);
  if (digest !== file.sha256) throw wrong(file.url, "digest mismatch after download");
}

/** Undefined if the server does not send it; `not_found` if the file does not exist. */
export async function publicSize(
  url: URL,
  signal: AbortSignal = new AbortController().signal,
): Promise<number | undefined> {
  const response = await askHead({ url, signal });
  if (!response.ok) {
    throw await statusFailure(response, { action: `find "${url.href}"`, host: url.host });
  }
  const length = response.headers.get("content-length");
  return length === null ? undefined : Number(length);
}

async function publicDigest(file: HttpFile, work: TransferWork): Promise<Digest> {
  const url = parseHttpUrl(file.url);
  const { size_bytes: size } = file;
  const signal = work.signal ?? new AbortController().signal;
  const wrongSize = (actual_bytes: number): BangerError =>
    wrong(file.url, `it has ${actual_bytes} bytes, ${size} were uploaded`);
  const request = {
    url,
    action: `get "${url.href}"`,
    headers: { "cache-control": "no-cache" },
    expected: { size, wrongSize },
    signal,
  };
  const hash = createHash("sha256");
  let done = 0;
  const attempt = (offset: number) => readRange({ ...request, offset });
  for await (const chunk of resumed(attempt, { size, signal })) {
    hash.update(chunk);
    done += chunk.length;
    if (done > size) throw wrong(file.url, "larger than the uploaded file");
    work.onProgress?.({
      step: "check",
      message: `Verifying ${url.href}`,
      done,
      total: size,
      unit: "bytes",
    });
  }
  return `sha256:${hash.digest("hex")}` as Digest;
}

function wrong(
  url: string,
  why: string,
  { code = "integrity", cause }: { code?: ErrorCode; cause?: unknown } = {},
): BangerError {
  return new BangerError(code, `Cannot publish at "${url}": ${why}`, {
    cause,
    hint: "Check that --url is the public URL of --to, and that no cache serves an older file",
  });
}
