/** Downloads files for ADD. */
import { closeSync, openSync, writeSync } from "node:fs";
import { join, posix } from "node:path";
import { BangerError } from "#base/error.ts";
import { readChunks } from "#base/files/chunks.ts";
import type { WorkOptions } from "#base/progress.ts";
import { formatSize, GiB } from "#base/size.ts";
import { openRange, resumed } from "#http/download.ts";
import { pathOf, type SourceFile } from "./source.ts";
import { checkSource } from "./url-policy.ts";

const DOWNLOAD_MAX_BYTES = 8 * GiB;
const MODE = 0o600;

export interface DownloadOptions extends WorkOptions {
  folder: string;
  privateHosts: readonly string[];
  /** The expected digest, "sha256:…". */
  checksum: string | undefined;
}

/** Errors: `integrity` for a wrong checksum, `unavailable`, `not_found`, `limit_exceeded`. */
export async function download(
  address: string,
  options: DownloadOptions,
): Promise<{ name: string; file: SourceFile }> {
  const url = new URL(address);
  const signal = options.signal ?? new AbortController().signal;
  const name = nameOf(url);
  const path = join(options.folder, `${crypto.randomUUID()}.download`);
  const { privateHosts } = options;
  const got = await fetchFile(url, { path, signal, privateHosts });
  if (options.checksum && got.digest !== options.checksum) {
    throw new BangerError("integrity", `checksum mismatch for ${address}: got ${got.digest}`);
  }
  const attributes = { mode: MODE, uid: 0, gid: 0, mtime_s: got.mtime_s, mtime_ns: 0 };
  const rest = { major: 0, minor: 0, xattrs: [], target: "", size: got.size };
  const file = { type: "file", ...attributes, ...rest, data: () => readChunks(path) } as const;
  return { name: pathOf(name), file };
}

/** The last component of the path, as in BuildKit. */
function nameOf(url: URL): string {
  let name = "";
  try {
    name = posix.basename(decodeURIComponent(url.pathname));
  } catch {
    // Not valid UTF-8.
  }
  return name === "" || name === "." || name === ".." ? "__unnamed__" : name;
}

/**
 * Downloads to a file, with retries. The digest is not known, so an interrupted download resumes only if a validator
 * proves that the file is unchanged; otherwise it starts over, and must begin with the same bytes.
 */
async function fetchFile(
  url: URL,
  options: { path: string; signal: AbortSignal; privateHosts: readonly string[] },
): Promise<{ size: number; digest: string; mtime_s: number }> {
  const { signal } = options;
  const hasher = new Bun.CryptoHasher("sha256");
  let validator: string | undefined;
  let mtime_s = 0;
  async function* attempt(offset: number): AsyncGenerator<Uint8Array> {
    const isMatched = offset > 0 && validator !== undefined;
    const opened = await openRange({
      url,
      address: await checkSource(url, options),
      offset: isMatched ? offset : 0,
      headers: isMatched ? { "if-range": validator as string } : {},
      action: `fetch ${url.href}`,
      signal,
    });
    if (offset === 0) {
      validator = validatorOf(opened.response);
      mtime_s = mtimeOf(opened.response);
    }
    if (opened.start === offset) yield* opened.chunks;
    else yield* continued(opened.chunks, { url, offset, digest: hasher.copy().digest("hex") });
  }
  const fd = openSync(options.path, "w", 0o600);
  let size = 0;
  try {
    for await (const chunk of resumed(attempt, { signal })) {
      size += chunk.length;
      if (size > DOWNLOAD_MAX_BYTES) {
        const max = formatSize(DOWNLOAD_MAX_BYTES);
        throw new BangerError("limit_exceeded", `${url.href} is larger than ${max}`);
      }
      hasher.update(chunk);
      for (let at = 0; at < chunk.length; ) at += writeSync(fd, chunk, at);
    }
  } finally {
    closeSync(fd);
  }
  return { size, digest: `sha256:${hasher.digest("hex")}`, mtime_s };
}

/** The bytes after `offset`, if those before it have the digest. */
async function* continued(
  chunks: AsyncIterable<Uint8Array>,
  { url, offset, digest }: { url: URL; offset: number; digest: string },
): AsyncGenerator<Uint8Array> {
  const before = new Bun.CryptoHasher("sha256");
  let left = offset;
  for await (const chunk of chunks) {
    const known = chunk.subarray(0, left);
    before.update(known);
    left -= known.length;
    if (left > 0) continue;
    if (known.length > 0 && before.digest("hex") !== digest) throw changed(url);
    if (known.length < chunk.length) yield chunk.subarray(known.length);
  }
  if (left > 0) throw changed(url);
}

function changed(url: URL): BangerError {
  return new BangerError("conflict", `Cannot fetch ${url.href}: file changed during the download`, {
    hint: "Run the build again",
  });
}

/** For If-Range, which does not allow weak entity tags (RFC 9110, section 13.1.5). */
function validatorOf({ headers }: Response): string | undefined {
  const tag = headers.get("etag") ?? undefined;
  return tag?.startsWith('"') ? tag : undefined;
}

function mtimeOf({ headers }: Response): number {
  const modified = Date.parse(headers.get("last-modified") ?? "");
  return Number.isNaN(modified) ? 0 : Math.floor(modified / 1000);
}
